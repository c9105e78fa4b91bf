// A photo, its face model and regressor weights in; the completed face at three poses out. Run in a checkout:
//   npx vite-node examples/pipeline.ts photo.jpg bfm_3ddfa.safetensors weights/
import { join } from 'node:path';
import { pipeline } from '../src/index.js';

const [photo, model, weights] = process.argv.slice(2);
const { fit, views, completed } = await pipeline.synthesise(photo, {
  model: pipeline.convertFaceModel(model),
  detector: pipeline.loadDetector({ kind: 'faceboxes', weights: join(weights, 'FaceBoxesProd.safetensors') }),
  regressor: pipeline.loadRegressor(join(weights, 'mb05_120x120.pth')),
  yaw: [-45, 0, 45],
});
console.log(`yaw ${fit.yaw.toFixed(1)} pitch ${fit.pitch.toFixed(1)} roll ${fit.roll.toFixed(1)}`);
await pipeline.writeImage('completed.png', completed);
for (const { yaw, image } of views) await pipeline.writeImage(`yaw${yaw}.png`, image);
