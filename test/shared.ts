// The data that lies beside the repository (reference numbers, face models, weights, photos) and never inside it.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'shared');

/** The path of a file or folder under ../shared, or undefined where it is absent; says so once. */
export function sharedPath(name: string): string | undefined {
  const path = join(root, name);
  if (existsSync(path)) return path;
  console.warn(`skipped: ../shared/${name} is not here`);
  return undefined;
}
