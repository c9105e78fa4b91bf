// Makes docs/images/demo.png, the README's picture, out of what `rescunet demo --seed 6 --out out` wrote:
// photo, its incomplete and completed texture, then four of the new views.
import sharp from 'sharp';

const side = 224;
const files = [
  'photo',
  'incomplete',
  'completed',
  ...[-60, -20, 20, 60].map((yaw) => `views/yaw${yaw < 0 ? '' : '+'}${yaw}`),
];
const tiles = await Promise.all(files.map((file) => sharp(`out/${file}.png`).resize(side, side).toBuffer()));
await sharp({ create: { width: side * tiles.length, height: side, channels: 3, background: '#c5cbd6' } })
  .composite(tiles.map((input, i) => ({ input, left: i * side, top: 0 })))
  .png({ palette: true, quality: 90 })
  .toFile('docs/images/demo.png');
