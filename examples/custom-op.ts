// An op of your own in a few lines, checked against central differences: the Charbonnier distance sqrt((x - y)^2 + eps^2), a
// smooth L1. Run: npx vite-node examples/custom-op.ts (in a checkout), or import the package.
import { customOp, eye, gradient, manualSeed, randn, type Tensor } from '../src/index.js';

const EPS = 0.1;
const distance = (x: Tensor, y: Tensor) =>
  x
    .sub(y)
    .pow(2)
    .add(EPS * EPS)
    .sqrt();

const charbonnier = customOp('charbonnier', distance, (dy, x, y) => {
  const dx = dy.mul(x.sub(y)).div(distance(x, y));
  return [dx, dx.neg()];
});

manualSeed(1);
const x = randn([5]);
const y = randn([5]);
const ours = await gradient(charbonnier(x, y).sum(), x).data();

const step = 1e-2;
for (let i = 0; i < x.size; i++) {
  const shifted = (by: number) =>
    x.add(
      eye(5)
        .slice({ start: [i, 0], size: [1, 5] })
        .reshape([5])
        .mul(by),
    );
  const difference = charbonnier(shifted(step), y)
    .sum()
    .sub(charbonnier(shifted(-step), y).sum())
    .div(2 * step);
  console.log(`d/dx${i}: ${ours[i].toFixed(4)} by the rule, ${(await difference.item()).toFixed(4)} by differences`);
}
