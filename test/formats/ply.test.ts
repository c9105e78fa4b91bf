// PLY: text and both binary orders, properties passed over, damage named.
import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readPly } from '../../src/formats/ply.js';
import { formatError, temporaryFolder } from './samples.js';

const temporary = temporaryFolder();

function file(bytes: Uint8Array | string): string {
  writeFileSync(temporary('t.ply'), bytes);
  return temporary('t.ply');
}

const header = (format: string, vertices = 4, faces = 2) => `ply
format ${format} 1.0
comment a square with a colour, a quality and edges
element vertex ${vertices}
property float x
property double y
property float z
property uchar red
property float s
property float t
element face ${faces}
property float quality
property list uchar int vertex_indices
element edge 1
property int vertex1
property int vertex2
end_header
`;

const points = [
  [0, 0, 0.5, 255, 0, 0],
  [1, 0, 0.5, 0, 1, 0],
  [1, 1, 0.5, 7, 1, 1],
  [0, 1, 0.5, 9, 0, 1],
];

const text = `${header('ascii', 4, 1)}${points.map((row) => row.join(' ')).join('\n')}\n0.5 4 0 1 2 3\n0 1\n`;

function binary(little: boolean): Buffer {
  const out = Buffer.alloc(4 * 25 + 2 * 17 + 8);
  const view = new DataView(out.buffer, out.byteOffset, out.length);
  let at = 0;
  const put = (width: number, write: (at: number) => void) => {
    write(at);
    at += width;
  };
  for (const [x, y, z, red, s, t] of points) {
    put(4, (p) => view.setFloat32(p, x, little));
    put(8, (p) => view.setFloat64(p, y, little));
    put(4, (p) => view.setFloat32(p, z, little));
    put(1, (p) => view.setUint8(p, red));
    put(4, (p) => view.setFloat32(p, s, little));
    put(4, (p) => view.setFloat32(p, t, little));
  }
  for (const corners of [
    [0, 1, 2],
    [0, 2, 3],
  ]) {
    put(4, (p) => view.setFloat32(p, 1, little));
    put(1, (p) => view.setUint8(p, 3));
    for (const corner of corners) put(4, (p) => view.setInt32(p, corner, little));
  }
  return out;
}

it.each([
  ['ascii', Buffer.from(text)],
  ['binary_little_endian', Buffer.concat([Buffer.from(header('binary_little_endian')), binary(true)])],
  ['binary_big_endian', Buffer.concat([Buffer.from(header('binary_big_endian')), binary(false)])],
])('%s', (_, bytes) => {
  const { vertices, triangles, uv, uvTriangles } = readPly(file(bytes));
  expect([vertices.shape, [...vertices.data]]).toEqual([
    [4, 3],
    [0, 0, 0.5, 1, 0, 0.5, 1, 1, 0.5, 0, 1, 0.5],
  ]);
  expect([triangles.shape, [...triangles.data]]).toEqual([
    [2, 3],
    [0, 1, 2, 0, 2, 3],
  ]);
  expect([...(uv?.data ?? [])]).toEqual([0, 0, 1, 0, 1, 1, 0, 1]);
  expect([...(uvTriangles?.data ?? [])]).toEqual([...triangles.data]);
});

it('takes point sets', () => {
  const { triangles } = readPly(
    file(
      'ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\n1 2 3\n',
    ),
  );
  expect(triangles.shape).toEqual([0, 3]);
});

it('names what is wrong', () => {
  const reason = (content: string | Buffer) => formatError(() => readPly(file(content))).message;
  expect(reason('v 1 2 3')).toMatch(/header: is no PLY file/);
  expect(reason('ply\nformat ascii 1.0\n')).toMatch(/has no end_header/);
  expect(reason(text.replace('ascii', 'packed'))).toMatch(/the format 'packed' is none of/);
  expect(reason(text.replace('property float x', 'property float q'))).toMatch(/element vertex: has no x, y and z/);
  expect(reason(text.replace('vertex 4', 'vertex 400000000'))).toMatch(/the file ends before/);
  expect(reason(text.replace('4 0 1 2 3', '4 0 1 2 9'))).toMatch(/element face: names vertex 9, there are 4/);
  expect(reason(text.replace('4 0 1 2 3', '2 0 1'))).toMatch(/a polygon of 2 corners/);
  expect(reason(text.replace('1 1 0.5', '1 nan 0.5'))).toMatch(/data: 'nan' is no number/);
  expect(reason(text.slice(0, -4))).toMatch(/ends/);
  const bytes = Buffer.concat([Buffer.from(header('binary_little_endian')), binary(true)]);
  expect(reason(bytes.subarray(0, bytes.length - 3))).toMatch(/ends/);
});
