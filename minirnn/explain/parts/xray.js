// The X-ray page: choosing a detection lights its way back through all stages.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const percent = (value) => (100 * value).toFixed(value < 0.1 ? 1 : 0) + " %";

  function element(name, attributes, parent) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (parent) parent.appendChild(made);
    return made;
  }
  function html(name, text = "", className = "") {
    const made = document.createElement(name);
    made.textContent = text; // never as markup: names come from files
    if (className) made.className = className;
    return made;
  }
  const rectangle = ([x1, y1, x2, y2], attributes, parent) =>
    element("rect", { x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0), ...attributes }, parent);

  function links(stage) {
    const [lesson, module] = data.stages[stage];
    const line = html("span", "", "note");
    const anchor = html(data.lessons ? "a" : "span", "lesson " + lesson.slice(0, 2));
    if (data.lessons) anchor.href = `${data.lessons}/${lesson}.ipynb`;
    line.append(" → ", anchor, ", ", html("code", module));
    return line;
  }

  function photograph(svg) {
    svg.setAttribute("viewBox", `0 0 ${data.width} ${data.height}`);
    element("image", { href: data.photograph, width: data.width, height: data.height,
      preserveAspectRatio: "none" }, svg);
  }

  // ---- the result, and what lights up in it

  const picture = byId("picture");
  photograph(picture);
  const lit = element("g", {}, picture);
  const boxes = element("g", {}, picture);
  const buttons = [];
  data.detections.forEach((found, k) => {
    const box = rectangle(found.box, { class: "detection", tabindex: 0, role: "button",
      "aria-label": `${found.name}, ${found.score}` }, boxes);
    element("title", {}, box).textContent = `${found.name} ${found.score}`;
    box.addEventListener("click", () => choose(k));
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { choose(k); event.preventDefault(); }
    });
    const item = html("li");
    const button = html("button", `${found.name} ${found.score.toFixed(2)}`);
    button.addEventListener("click", () => choose(k));
    item.appendChild(button);
    byId("list").appendChild(item);
    buttons.push(button);
  });

  function step(list, text, key, stage) {
    const item = html("li");
    const head = html("div");
    if (key) {
      const mark = html("span", "", "key");
      mark.style.borderColor = `var(--${key})`;
      head.appendChild(mark);
    }
    head.append(text, links(stage));
    item.appendChild(head);
    list.appendChild(item);
    return item;
  }

  function choose(k) {
    const found = data.detections[k];
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === k)));
    lit.replaceChildren();
    if (found.mask) {
      const [x1, y1, x2, y2] = found.maskPlace;
      element("image", { href: found.mask, x: x1, y: y1, width: x2 - x1, height: y2 - y1,
        opacity: 0.45, preserveAspectRatio: "none" }, lit);
    }
    found.rivals.forEach((rival) => rectangle(rival, { class: "rival" }, lit));
    if (found.anchor) rectangle(found.anchor, { class: "anchor" }, lit);
    rectangle(found.region, { class: "region" }, lit);
    rectangle(found.box, { class: "chosen" }, lit);

    const list = html("ol");
    if (found.grid) {
      const item = step(list, "Its mask, as the mask head drew it: 28 × 28 probabilities, stretched over the box.", "", "masks");
      const grid = html("img", "", "grid");
      grid.src = found.grid;
      grid.alt = "28 by 28 mask";
      item.appendChild(grid);
    }
    step(list, `${found.name}, ${percent(found.score)}: this box was kept.`, "box", "classes");
    step(list, found.rivals.length
      ? `It suppressed ${found.rivals.length} boxes of its class that overlap it by more than ${data.nms}` +
        ` (the best had ${percent(Math.max(...found.rivals.map((rival) => rival[4])))}).`
      : "It suppressed no other box.", "rival", "proposals");
    const classes = step(list, "What the box head thought of its region:", "", "classes");
    found.classes.forEach(([name, share]) => {
      const bar = html("div", "", "bar");
      const track = html("span");
      const strip = html("i");
      strip.style.width = 100 * share + "%";
      track.appendChild(strip);
      bar.append(html("span", name), track, html("span", percent(share)));
      classes.appendChild(bar);
    });
    step(list, `The region: proposal number ${found.number + 1}, read from map ${found.level}.`, "region", "regions");
    if (found.anchor)
      step(list, `That proposal was an anchor on map ${found.anchorLevel}, which the RPN moved; it was ` +
        `${percent(found.objectness)} sure that something is there.`, "anchor", "objectness");
    byId("chain").replaceChildren(list);
  }

  // ---- objects that should have been found

  const GATES = { anchor: "an anchor near it", moved: "moved onto it", objectness: "objectness", proposal: "kept as proposal",
    class: "its class", threshold: "score above the threshold", suppression: "kept in the end" };
  function drawFates() {
    const holder = byId("missed");
    if (data.fates.length) holder.appendChild(html("h2", "Objects that you asked about"));
    data.fates.forEach((fate) => {
      const card = html("article");
      card.append(html("h3", `${fate.name} at ${fate.box.map((edge) => edge.toFixed(0)).join(", ")}: ` +
        (fate.lost ? `lost at “${GATES[fate.lost]}”` : "found")), html("p", fate.sentence + "."));
      const gates = html("ul", "", "gates");
      Object.entries(fate.best).forEach(([gate, value]) => {
        gates.appendChild(html("li", `${GATES[gate]} ${value.toFixed(2)}`, gate === fate.lost ? "lost" : ""));
      });
      card.appendChild(gates);
      const show = html("button", "Show it");
      show.addEventListener("click", () => {
        lit.replaceChildren();
        rectangle(fate.box, { class: "missed" }, lit);
        if (fate.nearest) rectangle(fate.nearest, { class: "region" }, lit);
        if (fate.by) rectangle(fate.by, { class: "rival", style: "stroke-width:3" }, lit);
      });
      card.append(show, html("span", " yellow: the object; blue: the closest; pink: what suppressed it", "note"));
      holder.appendChild(card);
    });
  }

  // ---- every stage, small

  function card(title, stage, text) {
    const figure = html("figure");
    figure.appendChild(html("h3", title));
    const caption = html("figcaption", text);
    caption.appendChild(links(stage));
    byId("cards").appendChild(figure);
    return { figure, caption };
  }
  function imageCard(title, stage, text, picture) {
    const { figure, caption } = card(title, stage, text);
    const image = html("img");
    image.src = picture;
    image.alt = title;
    figure.append(image, caption);
  }
  function boxCard(title, stage, text, some, className, opacity) {
    const { figure, caption } = card(title, stage, text);
    const svg = element("svg", {}, figure);
    photograph(svg);
    some.forEach((box) => rectangle(box, { class: className, style: `stroke-width:1;stroke-opacity:${opacity}` }, svg));
    figure.appendChild(caption);
  }

  function drawStages() {
    boxCard("Input", "input", `${data.width} × ${data.height} pixels`, [], "", 1);
    data.maps.forEach((map) => imageCard(`Map ${map.name}`, "maps",
      `${map.shape[0]} channels of ${map.shape[1]} × ${map.shape[2]} cells; the mean strength over the channels.`, map.picture));
    data.objectness.forEach((level) => imageCard(`Objectness on ${level.name}`, "objectness",
      `The surest of each cell's anchors; the highest is ${percent(level.most)}. ` +
      `${level.taken} of ${level.anchors} anchors went on.`, level.picture));
    if (data.before.length)
      boxCard(`Before suppression: the best ${data.before.length}`, "proposals",
        "Anchors, moved by the RPN and cut at the border.", data.before, "region", 0.4);
    boxCard(`Proposals: ${data.after.length}`, "proposals", "What is left when near-duplicates are suppressed.",
      data.after, "region", 0.45);
    boxCard(`Detections: ${data.found}`, "classes", "After the box head and the last suppression.",
      data.detections.map((found) => found.box), "detection", 0.9);
  }

  byId("title").textContent = data.title;
  document.title = "X-ray: " + data.title;
  const hidden = data.found - data.detections.length;
  byId("summary").textContent = `${data.found} detections` + (hidden > 0 ? `, of which the best ${data.detections.length} are shown.` : ".");
  drawFates();
  drawStages();
  if (data.detections.length) choose(0);
  else byId("chain").textContent = "Nothing was found.";
})();
