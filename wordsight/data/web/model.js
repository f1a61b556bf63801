// A wordsight model in the browser: photo -> pixel_values, as the image processor makes them -> ONNX Runtime -> scores.

const SUPPORT = { 2: 1, 3: 2, 1: 3 }; // Pillow's numbers of filters -> how far they reach
const A = -0.5; // of Pillow's bicubic filter

function filter(kind, x) {
  x = Math.abs(x);
  if (kind === 2) return x < 1 ? 1 - x : 0;
  if (kind === 3) {
    if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * A : 0;
  }
  const sinc = (v) => (v === 0 ? 1 : Math.sin(Math.PI * v) / (Math.PI * v));
  return x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

// For each pixel of the smaller side: where it begins in the larger one, and what each pixel there counts.
function weights(from, to, kind) {
  const scale = from / to;
  const wide = Math.max(scale, 1);
  const reach = SUPPORT[kind] * wide;
  return Array.from({ length: to }, (_, pixel) => {
    const center = (pixel + 0.5) * scale;
    const first = Math.max(Math.trunc(center - reach + 0.5), 0);
    const last = Math.min(Math.trunc(center + reach + 0.5), from);
    const counts = Array.from({ length: last - first }, (_, k) => filter(kind, (k + first - center + 0.5) / wide));
    const sum = counts.reduce((a, b) => a + b, 0);
    return { first, counts: counts.map((count) => count / sum) };
  });
}

// Pillow's resize of RGB pixels in 8 bits: columns first, then rows.
function resize(pixels, [width, height], [toWidth, toHeight], kind) {
  const clip = (value) => Math.min(Math.max(Math.floor(value + 0.5), 0), 255);
  const narrow = new Uint8Array(toWidth * height * 3);
  weights(width, toWidth, kind).forEach(({ first, counts }, x) => {
    for (let y = 0; y < height; y++)
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let k = 0; k < counts.length; k++) sum += counts[k] * pixels[(y * width + first + k) * 3 + channel];
        narrow[(y * toWidth + x) * 3 + channel] = clip(sum);
      }
  });
  const small = new Uint8Array(toWidth * toHeight * 3);
  weights(height, toHeight, kind).forEach(({ first, counts }, y) => {
    for (let at = 0; at < toWidth * 3; at++) {
      let sum = 0;
      for (let k = 0; k < counts.length; k++) sum += counts[k] * narrow[(first + k) * toWidth * 3 + at];
      small[y * toWidth * 3 + at] = clip(sum);
    }
  });
  return small;
}

// A photo, upright, on white where it is transparent, as RGB.
async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    pixels[to++] = data[from];
    pixels[to++] = data[from + 1];
    pixels[to++] = data[from + 2];
  }
  return { pixels, size: [width, height] };
}

export async function prepare(blob, processor) {
  let { pixels, size } = await decode(blob);
  const { size: wanted, crop_size: crop, resample, rescale_factor: factor, image_mean: mean, image_std: std } = processor;
  const [width, height] = size;
  const short = wanted.shortest_edge;
  const target = short
    ? width <= height
      ? [short, Math.trunc((short * height) / width)]
      : [Math.trunc((short * width) / height), short]
    : [wanted.width, wanted.height];
  pixels = resize(pixels, size, target, resample);
  const [cut, tall] = processor.do_center_crop ? [crop.width, crop.height] : target;
  const [left, top] = [Math.trunc((target[0] - cut) / 2), Math.trunc((target[1] - tall) / 2)];
  const values = new Float32Array(3 * cut * tall);
  for (let channel = 0; channel < 3; channel++)
    for (let y = 0; y < tall; y++)
      for (let x = 0; x < cut; x++) {
        const value = pixels[((y + top) * target[0] + x + left) * 3 + channel] * factor;
        values[(channel * tall + y) * cut + x] = (value - mean[channel]) / std[channel];
      }
  return { values, dims: [1, 3, tall, cut] };
}

export async function loadModel(place = "config.json") {
  const config = await (await fetch(place)).json();
  const ort = await import(config.runtime);
  ort.env.wasm.numThreads = 1; // more need headers that a plain static server does not send
  const session = await ort.InferenceSession.create("model.onnx");
  const label = async (blob) => {
    const { values, dims } = await prepare(blob, config.image_processor);
    const { logits } = await session.run({ pixel_values: new ort.Tensor("float32", values, dims) }, ["logits"]);
    return config.labels
      .map((name, k) => ({ label: name, score: 1 / (1 + Math.exp(-logits.data[k])) }))
      .sort((one, other) => other.score - one.score);
  };
  return { config, label };
}
