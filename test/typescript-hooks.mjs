// node's loader hooks: './x.js' is './x.ts' where there is only that, and its types are taken away. Sources only, never node_modules.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const sourceOf = (url) => {
  if (!url.startsWith('file:') || url.includes('/node_modules/') || !url.endsWith('.js')) return undefined;
  const source = `${url.slice(0, -3)}.ts`;
  return !existsSync(fileURLToPath(url)) && existsSync(fileURLToPath(source)) ? source : undefined;
};

export async function resolve(specifier, context, next) {
  if (/^(\.{0,2}\/|file:)/.test(specifier)) {
    const source = sourceOf(new URL(specifier, context.parentURL).href);
    if (source) return { url: source, format: 'module', shortCircuit: true };
  }
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
  const fileName = fileURLToPath(url);
  const compilerOptions = { target: 'ES2022', module: 'ESNext', inlineSourceMap: true };
  const { outputText } = ts.transpileModule(readFileSync(fileName, 'utf8'), { fileName, compilerOptions });
  return { format: 'module', source: outputText, shortCircuit: true };
}
