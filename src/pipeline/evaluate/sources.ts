// Several sources of pairs as one.
import { FormatError } from '../../formats/error.js';
import type { PairSource } from '../dataset/pairs.js';
import { metaOf } from './uv.js';

/**
 * The pairs of several folders one after the other. Throws FormatError naming the folder whose maps are of another size or
 * layout than the first one's.
 */
export function joinSources(parts: readonly { name: string; source: PairSource }[]): PairSource {
  const [first, ...rest] = parts;
  if (!first) throw new RangeError('joinSources: no sources');
  if (rest.length === 0) return first.source;
  const { size, footprint } = first.source;
  for (const { name, source } of rest) {
    if (source.size !== size) {
      throw new FormatError(
        name,
        'size',
        `its maps are ${source.size}x${source.size}, those of ${first.name} ${size}x${size}`,
      );
    }
    if (Buffer.compare(source.footprint, footprint) !== 0) {
      throw new FormatError(name, 'footprint', `its UV layout is another than that of ${first.name}`);
    }
  }
  const sources = parts.map(({ source }) => source);
  const length = sources.reduce((sum, source) => sum + source.length, 0);
  const within = <T>(index: number, take: (source: PairSource, at: number) => T): T => {
    let at = index;
    for (const source of sources) {
      if (at >= 0 && at < source.length) return take(source, at);
      at -= source.length;
    }
    throw new RangeError(`joinSources: pair ${index} of ${length}`);
  };
  const configs = Object.fromEntries(parts.map(({ name, source }) => [name, JSON.stringify(source.config)]));
  return {
    length,
    size,
    footprint,
    config: { kind: 'joined', ...configs },
    pair: (index) => within(index, (source, at) => source.pair(at)),
    meta: (index) => within(index, metaOf),
  };
}
