// The page: loads the model once, labels each photo that is chosen.
import { loadModel } from "./model.js";

const SHOWN = 5;
const [input, status, shown, list] = ["photo", "status", "shown", "labels"].map((id) => document.getElementById(id));

function row({ label, score }) {
  const item = document.createElement("li");
  const [name, bar, number] = ["span", "progress", "span"].map((tag) => document.createElement(tag));
  name.textContent = label; // text, never markup
  bar.value = score;
  number.textContent = score.toFixed(2);
  item.append(name, bar, number);
  return item;
}

try {
  const model = await loadModel();
  window.labelPhoto = model.label; // for scripts: labelPhoto(blob) gives [{label, score}, ...]
  status.textContent = "Choose a photo.";
  input.disabled = false;
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    status.textContent = "Labeling ...";
    list.replaceChildren();
    try {
      URL.revokeObjectURL(shown.src);
      shown.src = URL.createObjectURL(file);
      shown.hidden = false;
      const labels = await model.label(file);
      list.replaceChildren(...labels.slice(0, SHOWN).map(row));
      status.textContent = `${labels.filter(({ score }) => score >= 0.5).length} labels with a score of at least 0.5.`;
    } catch (error) {
      status.textContent = `${file.name} can't be read as a photo (${error.message}).`;
    }
  });
} catch (error) {
  status.textContent = `The model can't be loaded (${error.message}). Serve this folder: python -m http.server`;
}
