// Where a folder, or files of any kind, are dropped. `props.value` lists what was uploaded, each
// with its path on the other side and its name, which has the folders that it lay in.
const zone = element.querySelector(".probe-zone"), note = element.querySelector(".probe-came");
const AT_ONCE = 4;
let turn = 0;

const say = (text) => (note.textContent = text);
const is_hidden = (name) => name.split("/").some((part) => part.startsWith("."));

const walk = async (entry, above, files) => {
  const name = above + entry.name;
  if (entry.isFile) {
    files.push({ name, file: await new Promise((take, fail) => entry.file(take, fail)) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((take, fail) => reader.readEntries(take, fail));
    if (!some.length) return;
    for (const one of some) await walk(one, `${name}/`, files);
  }
};

const take = async (files) => {
  const mine = ++turn;
  files = files.filter(({ name }) => !is_hidden(name));
  const came = new Array(files.length);
  let next = 0, done = 0;
  const work = async () => {
    while (next < files.length && mine === turn) {
      const k = next++;
      const { path } = await upload(files[k].file);
      came[k] = { path, name: files[k].name };
      say(`${++done} of ${files.length} files`);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } catch (error) {
    say(`a file could not be taken: ${error.message ?? error}`);
    return;
  }
  if (mine !== turn) return;
  say(files.length === 1 ? files[0].name : `${files.length} files`);
  zone.classList.toggle("probe-full", files.length > 0);
  props.value = came;
  trigger("input");
};

zone.addEventListener("dragover", (event) => {
  event.preventDefault();
  zone.classList.add("probe-over");
});
zone.addEventListener("dragleave", () => zone.classList.remove("probe-over"));
zone.addEventListener("drop", async (event) => {
  event.preventDefault();
  zone.classList.remove("probe-over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry());
  const files = [];
  for (const entry of entries.filter(Boolean)) await walk(entry, "", files);
  await take(files);
});
for (const input of element.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", async () => {
    const files = [...input.files].map((file) => ({
      name: file.webkitRelativePath || file.name, file,
    }));
    input.value = "";
    if (files.length) await take(files);
  });
}
for (const button of element.querySelectorAll("[data-opens]"))
  button.addEventListener("click", () =>
    element.querySelector(`input.${button.dataset.opens}`).click());
element.querySelector(".probe-clear").addEventListener("click", () => {
  turn++;
  say("");
  zone.classList.remove("probe-full");
  props.value = [];
  trigger("input");
});
