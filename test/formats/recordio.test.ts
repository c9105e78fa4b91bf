// RecordIO files as MXNet writes them: split records, labels in the header or behind it, InsightFace's records of identities.
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openImageRecords } from '../../src/formats/recordio.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rescunet-recordio-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const MAGIC = Buffer.from([0x0a, 0x23, 0xd7, 0xce]);

function part(kind: number, data: Buffer): Buffer {
  const head = Buffer.alloc(8);
  MAGIC.copy(head);
  head.writeUInt32LE(kind * 2 ** 29 + data.length, 4);
  return Buffer.concat([head, data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
}

/** MXNet's writer splits data where the magic number stands at a multiple of four. */
function record(data: Buffer): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (let at = 0; at + 4 <= data.length; at += 4) {
    if (data.compare(MAGIC, 0, 4, at, at + 4) !== 0) continue;
    parts.push(data.subarray(from, at));
    from = at + 4;
  }
  parts.push(data.subarray(from));
  if (parts.length === 1) return part(0, data);
  return Buffer.concat(parts.map((one, i) => part(i === 0 ? 1 : i === parts.length - 1 ? 3 : 2, one)));
}

function packed(labels: number | number[], image: Buffer): Buffer {
  const header = Buffer.alloc(24);
  const list = Array.isArray(labels) ? labels : [];
  header.writeUInt32LE(list.length, 0);
  if (!Array.isArray(labels)) header.writeFloatLE(labels, 4);
  const behind = Buffer.alloc(4 * list.length);
  list.forEach((label, i) => {
    behind.writeFloatLE(label, 4 * i);
  });
  return record(Buffer.concat([header, behind, image]));
}

function write(name: string, records: Buffer[], index: boolean): string {
  const file = path.join(folder, `${name}.rec`);
  writeFileSync(file, Buffer.concat(records));
  let offset = 0;
  const lines = records.map(({ length }, key) => {
    offset += length;
    return `${key}\t${offset - length}\n`;
  });
  if (index) writeFileSync(path.join(folder, `${name}.idx`), lines.join(''));
  return file;
}

const images = [
  Buffer.from('a first image'),
  Buffer.concat([Buffer.from('1234'), MAGIC, Buffer.from('5678'), MAGIC, MAGIC, Buffer.from('tail')]),
  Buffer.from('third'),
];

test.each([true, false])('images and labels, with an index: %s', (index) => {
  const file = write(`plain-${index}`, [packed(7, images[0]), packed([9, 1], images[1]), packed(7, images[2])], index);
  const records = openImageRecords(file);
  expect([...records.labels]).toEqual([7, 9, 7]);
  images.forEach((image, i) => {
    expect(Buffer.from(records.read(i))).toEqual(image);
  });
  records.close();
});

test.each([true, false])("InsightFace's record 0 and identities are no images; with an index: %s", (index) => {
  const nothing = Buffer.alloc(0);
  const file = write(
    `faces-${index}`,
    [
      packed([4, 6], nothing),
      ...images.map((image, i) => packed(i === 2 ? 1 : 0, image)),
      packed([1, 3], nothing),
      packed([3, 4], nothing),
    ],
    index,
  );
  const records = openImageRecords(file);
  expect([...records.labels]).toEqual([0, 0, 1]);
  expect(Buffer.from(records.read(1))).toEqual(images[1]);
  records.close();
});

test('damage is named with its place', () => {
  expect(() => openImageRecords(path.join(folder, 'none.rec'))).toThrow(/none\.rec: file: does not exist/);
  const file = write('torn', [packed(1, images[0]), packed(2, images[1])], true);
  truncateSync(file, 100);
  expect(() => openImageRecords(file)).toThrow(/torn\.rec: record at byte 96: wants 8 bytes, the file has 100/);
  const other = write('other', [Buffer.from('no record at all')], false);
  expect(() => openImageRecords(other)).toThrow(/record at byte 0: does not begin with the magic number/);
  const odd = write('odd', [packed(0.5, images[0])], true);
  expect(() => openImageRecords(odd)).toThrow(/record 0: its label is 0\.5, no whole number/);
});
