// The options of a command. `props.value` holds what a user changed, by name, and nothing else;
// `props.shown` what holds where nothing was changed: the command's defaults, those of a preset.
const fields = [...element.querySelectorAll("[data-name]")];

const shown = (name) => props.value?.[name] ?? props.shown?.[name] ?? "";
const is_changed = (name) => props.value != null && name in props.value;

// A slider's position, 0 to 1, to a value, and back. Of a wide range whose default lies near its
// low end, that end has most of the slider.
const of_slider = (slider) => {
  const { low, high, step, power } = slider.dataset;
  const value = +low + (high - low) * Math.pow(slider.value, power);
  return +(Math.round(value / step) * step).toPrecision(8);
};
const to_slider = (slider, value) => {
  const { low, high, power } = slider.dataset;
  const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
  return Math.pow(share, 1 / power);
};

const entry_of = (field) => field.querySelector("[data-entry]");
const slider_of = (field) => field.querySelector("input[type=range]");

const draw = (field) => {
  const name = field.dataset.name, entry = entry_of(field), slider = slider_of(field);
  const value = shown(name);
  if (entry.type === "checkbox") entry.checked = Boolean(value);
  else if (document.activeElement !== entry) entry.value = value;
  if (slider && document.activeElement !== slider && value !== "")
    slider.value = to_slider(slider, +value);
  if (slider) slider.setAttribute("aria-valuetext", String(value));
  field.classList.toggle("probe-changed", is_changed(name));
};

const set = (field, value) => {
  const name = field.dataset.name, next = { ...props.value };
  const same = typeof value === "boolean"
    ? value === Boolean(props.shown?.[name]) : value === String(props.shown?.[name] ?? "");
  // An empty field says nothing; one that the page filled in, not the command, can be emptied.
  if (same || (value === "" && !field.hasAttribute("data-filled"))) delete next[name];
  else next[name] = value;
  props.value = next;
  draw(field);
};

for (const field of fields) {
  const entry = entry_of(field), slider = slider_of(field);
  const read = () => (entry.type === "checkbox" ? entry.checked : entry.value.trim());
  entry.addEventListener("input", () => {
    set(field, read());
    if (slider) slider.value = to_slider(slider, +shown(field.dataset.name));
  });
  entry.addEventListener("change", () => trigger("input"));
  entry.addEventListener("blur", () => draw(field));
  entry.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && entry.tagName === "INPUT") trigger("input");
  });
  if (entry.hasAttribute("list")) {
    // All words are offered, not only those that begin like the one that stands there; what was
    // composed by hand can be edited.
    entry.addEventListener("focus", () => {
      const words = [...(entry.list?.options ?? [])].map((one) => one.value);
      if (!words.includes(entry.value)) return;
      entry.placeholder = shown(field.dataset.name) || entry.dataset.placeholder;
      entry.value = "";
    });
    entry.addEventListener("blur", () => (entry.placeholder = entry.dataset.placeholder));
  }
  slider?.addEventListener("input", () => {
    const value = of_slider(slider);
    entry.value = value;
    set(field, String(value));
  });
  slider?.addEventListener("change", () => trigger("input"));
  field.querySelector(".probe-reset").addEventListener("click", () => {
    const next = { ...props.value };
    delete next[field.dataset.name];
    props.value = next;
    draw(field);
    entry.focus();
    trigger("input");
  });
}

const option = (value, text) =>
  Object.assign(document.createElement("option"), { value, textContent: text });

// What is chosen and is not among the words any more stays to be seen, and cannot be chosen anew.
const offer = (field, words) => {
  const entry = entry_of(field), value = String(shown(field.dataset.name));
  const offered = words.map((word) => option(word, word));
  if (!words.length) offered.push(option("", "–"));
  if (value && !words.includes(value))
    offered.push(Object.assign(option(value, value), { disabled: true }));
  entry.replaceChildren(...offered);
  entry.value = value;
};

const draw_all = () => fields.forEach(draw);
watch("value", draw_all);
watch("shown", draw_all);
watch("words", () => {
  for (const field of fields) {
    const words = props.words?.[field.dataset.name], list = field.querySelector("datalist");
    if (words && list) list.replaceChildren(...words.map((word) => option(word, "")));
    if (words && entry_of(field).tagName === "SELECT") offer(field, words);
  }
});
watch("errors", () => {
  for (const field of fields) {
    const error = props.errors?.[field.dataset.name] ?? "";
    const note = field.querySelector(".probe-refused");
    note.textContent = error;
    note.hidden = !error;
    entry_of(field).setAttribute("aria-invalid", String(Boolean(error)));
  }
});
// A field that decides what could not be understood: it is shown, even if it was folded away.
const open_asked = () => {
  const [name] = props.opens ?? [], field = fields.find((one) => one.dataset.name === name);
  if (!field) return;
  for (let at = field.closest("details"); at; at = at.parentElement.closest("details"))
    at.open = true;
  if (!element.contains(document.activeElement)) entry_of(field).focus();
};
watch("opens", open_asked);
open_asked();  // it may have been asked for before this was loaded
draw_all();
