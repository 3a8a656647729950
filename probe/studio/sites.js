// A list of sites to choose one from; `props.value` is its number.
element.addEventListener("change", (event) => {
  if (event.target.type !== "radio") return;
  props.value = event.target.value;
  trigger("input");
});
