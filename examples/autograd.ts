// Fits a two-layer network to a noisy sine. Run: npx vite-node examples/autograd.ts (in a checkout), or import the package.
import { capture, gradient, manualSeed, mseLoss, nn, optim, rand, randn, type Tensor, tidy } from '../src/index.js';

manualSeed(1);
const hidden = new nn.Linear(1, 32);
const output = new nn.Linear(32, 1);
const weights = [...Object.values(hidden.parameters()), ...Object.values(output.parameters())];
const adam = new optim.Adam(weights, { lr: 0.01 });

const step = capture((x: Tensor, y: Tensor) => {
  const loss = mseLoss(output.forward(hidden.forward(x).tanh()), y);
  adam.step(gradient(loss, weights));
  return loss;
});

for (let i = 0; i <= 1000; i++) {
  const loss = tidy(() => {
    const x = rand([64, 1]).mul(6).sub(3); // [64, 1] in [-3, 3)
    const y = x
      .mul(x)
      .mul(x)
      .div(-6)
      .add(x)
      .add(randn([64, 1]).mul(0.05)); // sin x, nearly
    return step(x, y);
  });
  if (i % 200 === 0) console.log(`step ${i}: loss ${(await loss.item()).toFixed(4)}`);
  loss.dispose();
}
