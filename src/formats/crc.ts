// Checksums of files: CRC-32 (zip, PNG) and CRC-32C (TensorFlow's records).

function tableOf(polynomial: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, i) => {
    let c = i;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ polynomial : c >>> 1;
    return c;
  });
}

function checksum(table: Uint32Array, bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ table[(crc ^ bytes[i]) & 255];
  return (crc ^ 0xffffffff) >>> 0;
}

const IEEE = tableOf(0xedb88320);
const CASTAGNOLI = tableOf(0x82f63b78);

/** CRC-32 (IEEE 802.3). */
export const crc32 = (bytes: Uint8Array): number => checksum(IEEE, bytes);

/** CRC-32C (Castagnoli; RFC 3720 B.4 has examples). */
export const crc32c = (bytes: Uint8Array): number => checksum(CASTAGNOLI, bytes);
