// The work behind eval verify. Contract: every set is read and its photos are looked for before the first one is embedded.
import { statSync } from 'node:fs';
import path from 'node:path';
import { writeAtomically } from '../formats/files.js';
import { loadRecogniser } from '../pipeline/recognise/embed.js';
import { readPack } from '../pipeline/recognise/pack.js';
import {
  type PairSet,
  readCfp,
  readCplfwPairs,
  readLfwPairs,
  readPairsCsv,
  requireImages,
  withoutMissing,
} from '../pipeline/recognise/pair-set.js';
import {
  type NamedResult,
  rocPicture,
  svgToPng,
  verificationMarkdown,
  verificationRecord,
  verificationTable,
} from '../pipeline/recognise/report.js';
import { embedSet, verifyEmbeddings } from '../pipeline/recognise/verify-set.js';
import { EXIT_OK, UsageError } from './errors.js';
import { loadFitting, named } from './networks.js';
import { prepareOut } from './output.js';
import type { Reporter } from './reporter.js';
import { PROTOCOLS, type VerifyOptions } from './verify.js';
import { findRecogniser, noRecogniser } from './weights.js';

type Protocol = (typeof PROTOCOLS)[number];

/** The layouts that a file or folder may have by its name: CFP's folder holds both protocols. */
function protocolsOf(set: string, given: Protocol | undefined): Protocol[] {
  const found = statSync(set, { throwIfNoEntry: false });
  if (!found) throw new UsageError(`${set}: does not exist; give a file of pairs, CFP's folder or a .bin pack`);
  if (given) {
    if (found.isDirectory() === given.startsWith('cfp')) return [given];
    throw new UsageError(`${set}: --protocol ${given} wants ${found.isDirectory() ? 'a file' : "CFP's folder"}`);
  }
  if (found.isDirectory()) return ['cfp-ff', 'cfp-fp'];
  const name = path.basename(set).toLowerCase();
  if (name.endsWith('.bin')) return ['bin'];
  if (name.endsWith('.csv')) return ['csv'];
  if (name.includes('cplfw') || name.includes('calfw')) return ['cplfw'];
  if (name.endsWith('.txt')) return ['lfw'];
  throw new UsageError(`${set}: its name does not tell its layout; give --protocol ${PROTOCOLS.join(', ')}`);
}

function read(set: string, protocol: Protocol, images: string | undefined): PairSet {
  const folder = images ?? path.dirname(set);
  switch (protocol) {
    case 'lfw':
      return readLfwPairs(set, folder);
    case 'cplfw':
      return readCplfwPairs(set, folder, /calfw/i.test(path.basename(set)) ? 'CALFW' : 'CPLFW');
    case 'cfp-ff':
      return readCfp(set, 'FF');
    case 'cfp-fp':
      return readCfp(set, 'FP');
    case 'csv':
      return readPairsCsv(set, folder);
    case 'bin':
      return readPack(set);
  }
}

interface Ready {
  set: PairSet;
  missing: { images: number; pairs: number };
}

function ready(set: PairSet, skip: boolean): Ready {
  if (!skip) {
    requireImages(set);
    return { set, missing: { images: 0, pairs: 0 } };
  }
  const left = withoutMissing(set);
  if (left.set.pairs.length === 0) throw new UsageError(`${set.name}: all of its photos are missing; give --images`);
  return { set: left.set, missing: { images: left.images.length, pairs: left.pairs } };
}

export async function runVerify(sets: readonly string[], options: VerifyOptions, reporter: Reporter): Promise<number> {
  const { protocol, images, out, skipMissing = false } = options;
  const file = findRecogniser(options);
  if (!file) throw noRecogniser();
  if (options.box || options.landmarks) {
    throw new UsageError(`--${options.box ? 'box' : 'landmarks'} is for single photos; leave it out`);
  }
  const found = sets.flatMap((set) =>
    protocolsOf(set, protocol).map((each) =>
      named(each, skipMissing ? 'check the file' : 'give --images or --skip-missing, or check the file', () =>
        ready(read(set, each, images), skipMissing),
      ),
    ),
  );
  if (out !== undefined) prepareOut(out);
  const fitting = found.every(({ set }) => set.aligned) ? undefined : loadFitting({ ...options, out: '' }, 2);
  const recogniser = named('--recogniser', 'give a MobileFaceNet or an IR-18 to 100', () => loadRecogniser(file));
  const total = found.reduce((sum, { set }) => sum + new Set(set.pairs.flatMap((p) => [p.first, p.second])).size, 0);
  const progress = await reporter.start(total, 'photos');
  const results: (NamedResult & { missing: Ready['missing']; unfound: string[] })[] = [];
  try {
    for (const { set, missing } of found) {
      progress.show(set.name);
      const { embeddings, unfound } = await embedSet(set, { recogniser, fitting, onImage: () => progress.advance() });
      results.push({ name: set.name, result: verifyEmbeddings(set, embeddings), missing, unfound });
    }
  } finally {
    progress.stop();
    recogniser.dispose();
  }
  for (const line of verificationTable(results)) reporter.line(line);
  for (const { name, missing, unfound } of results) {
    if (missing.pairs > 0) reporter.line(`${name}: ${missing.pairs} pairs left out, ${missing.images} photos missing`);
    if (unfound.length > 0) reporter.line(`${name}: no face found in ${unfound.length} photos, their middle was taken`);
  }
  const records = results.map((each) => {
    return { ...verificationRecord(each), missing: each.missing, unfound: each.unfound };
  });
  const record = { command: 'eval verify', recogniser: recogniser.name, weights: file, sets: records };
  if (out !== undefined) {
    const svg = rocPicture(results);
    await writeAtomically(path.join(out, 'results.json'), Buffer.from(`${JSON.stringify(record, plain, 1)}\n`));
    await writeAtomically(path.join(out, 'results.md'), Buffer.from(verificationMarkdown(results)));
    await writeAtomically(path.join(out, 'roc.svg'), Buffer.from(svg));
    await writeAtomically(path.join(out, 'roc.png'), await svgToPng(svg));
    reporter.line(`results.json, results.md, roc.svg and roc.png are in ${out}`);
  }
  reporter.document(record);
  return EXIT_OK;
}

const plain = (_: string, value: unknown): unknown =>
  ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : value;
