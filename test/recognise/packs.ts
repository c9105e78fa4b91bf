// Writes verification packs as Python's pickle does: protocol 3 with bytes, Python 2's strings, protocol 2 from Python 3.

const u32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n);
  return bytes;
};

const text = (s: string): Buffer => Buffer.from(s, 'latin1');

function image(bytes: Uint8Array, kind: 'bytes' | 'python2' | 'latin1'): Buffer {
  if (kind === 'bytes') return Buffer.concat([text('B'), u32(bytes.length), bytes]);
  if (kind === 'python2') return Buffer.concat([text('T'), u32(bytes.length), bytes]);
  const utf8 = Buffer.from(Buffer.from(bytes).toString('latin1'), 'utf8');
  return Buffer.concat([text('c_codecs\nencode\nX'), u32(utf8.length), utf8, text('U\x06latin1\x86R')]);
}

/** A pickle of (images, truths). */
export function pickleOfPack(
  images: readonly Uint8Array[],
  truths: readonly boolean[],
  kind: 'bytes' | 'python2' | 'latin1',
): Buffer {
  return Buffer.concat([
    text(kind === 'bytes' ? '\x80\x03' : '\x80\x02'),
    text(']('),
    ...images.map((bytes) => image(bytes, kind)),
    text('e]('),
    text(truths.map((truth) => (truth ? '\x88' : '\x89')).join('')),
    text('e\x86.'),
  ]);
}
