// Builds assets/face.safetensors, the face model that ships with the package, from the parametric head (npm run build:model).
// The same sources give the same bytes.
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { writeSafetensors } from '../dist/formats/safetensors.js';
import { buildDefaultFaceModel } from '../dist/models/default-face.js';

const path = process.argv[2] ?? fileURLToPath(new URL('../assets/face.safetensors', import.meta.url));
const { model, explained } = buildDefaultFaceModel();
const { tensors, metadata } = model.toTensors();
const exact = Object.keys(tensors).filter((name) => name !== 'identity' && name !== 'expression');
writeSafetensors(path, tensors, metadata, { dtype: 'f16', exact });
const percent = (share) => `${(100 * share).toFixed(2)} %`;
console.log(
  `${model.vertexCount} vertices, ${model.triangles.length / 3} triangles, ` +
    `${model.identityCount} identity modes (${percent(explained.identity)} of the variance), ` +
    `${model.expressionCount} expression modes (${percent(explained.expression)}), ${statSync(path).size} bytes: ${path}`,
);
