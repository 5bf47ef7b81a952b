// The page around the arithmetic: what is dragged, and what is drawn of it.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const SIZE = 512;
  const COLOURS = { RoIPool: "var(--pool)", RoIWarp: "var(--warp)", RoIAlign: "var(--align)" };
  const DASHES = { RoIPool: "", RoIWarp: "7 4", RoIAlign: "" };
  const byId = (id) => document.getElementById(id);
  const state = { box: [133.6, 348.2, 208.4, 421.8], stride: 16, bins: 3, samples: 2, aligned: true,
                  colour: "value", chosen: [0, 0] };
  let luminance = null; // (512, 512) of 0 to 1
  const maps = {}; // by stride: the map's numbers, and a picture of it
  const outline = rasterised(data.outline, SIZE, SIZE);

  function element(name, attributes, parent) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (parent) parent.appendChild(made);
    return made;
  }
  const rectangle = ([x1, y1, x2, y2]) =>
    ({ x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0) });

  // A cell of the map is the mean brightness of its pixels.
  function mapOf(stride) {
    if (maps[stride]) return maps[stride];
    const cells = SIZE / stride;
    const numbers = Array.from({ length: cells }, (_, v) => Array.from({ length: cells }, (_, u) => {
      let sum = 0;
      for (let y = v * stride; y < (v + 1) * stride; y++)
        for (let x = u * stride; x < (u + 1) * stride; x++) sum += luminance[y][x];
      return sum / stride ** 2;
    }));
    return (maps[stride] = { numbers, picture: pictureOf(numbers, (value) => [value, value, value]) });
  }

  function pictureOf(numbers, colour) {
    const canvas = document.createElement("canvas");
    [canvas.height, canvas.width] = [numbers.length, numbers[0].length];
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(canvas.width, canvas.height);
    numbers.flat().forEach((value, k) => {
      const [r, g, b, a = 1] = colour(value);
      pixels.data.set([r, g, b, a].map((c) => Math.round(255 * c)), 4 * k);
    });
    context.putImageData(pixels, 0, 0);
    return canvas.toDataURL();
  }

  // ---- the photograph and its box

  function drawPhoto() {
    const svg = byId("photo");
    svg.replaceChildren();
    element("image", { href: data.photograph, width: SIZE, height: SIZE }, svg);
    for (let at = state.stride; at < SIZE && state.stride >= 8; at += state.stride) {
      element("line", { class: "grid", x1: at, x2: at, y1: 0, y2: SIZE }, svg);
      element("line", { class: "grid", y1: at, y2: at, x1: 0, x2: SIZE }, svg);
    }
    for (const part of ["halo", "frame"]) element("rect", { class: part, ...rectangle(state.box) }, svg);
    const [x1, y1, x2, y2] = state.box;
    [[x1, y1, [0, 1]], [x2, y1, [2, 1]], [x1, y2, [0, 3]], [x2, y2, [2, 3]]].forEach(([x, y, edges]) => {
      const handle = element("circle", { class: "handle", cx: x, cy: y, r: 7 * perScreenPixel() }, svg);
      handle.dataset.edges = edges.join();
    });
  }

  // Pixels of the photograph that one of the screen shows.
  const perScreenPixel = () => SIZE / (byId("photo").getBoundingClientRect().width || SIZE);

  // The edges that a pointer takes hold of: a corner's two, or all four. None beside the box, where a finger
  // scrolls the page.
  function held([x, y], reach) {
    const [x1, y1, x2, y2] = state.box;
    const away = Math.max(x1 - x, x - x2, y1 - y, y - y2);
    // A small box keeps a middle by which it can be taken.
    const near = away < 0 ? Math.min(reach, 0.35 * Math.min(x2 - x1, y2 - y1)) : reach;
    const corners = [[0, 1], [2, 1], [0, 3], [2, 3]].map((edges) =>
      ({ edges, far: Math.hypot(state.box[edges[0]] - x, state.box[edges[1]] - y) }));
    const nearest = corners.reduce((a, b) => (b.far < a.far ? b : a));
    if (nearest.far < near) return nearest.edges;
    return away < reach ? [0, 1, 2, 3] : null;
  }
  const FINGER = 24, MOUSE = 12; // pixels of the screen

  function place(event) {
    const frame = byId("photo").getBoundingClientRect();
    const scale = SIZE / frame.width;
    return [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
  }

  let drag = null;
  function listen() {
    const svg = byId("photo");
    svg.addEventListener("pointerdown", (event) => {
      const [x, y] = place(event);
      const edges = held([x, y], (event.pointerType === "touch" ? FINGER : MOUSE) * perScreenPixel());
      if (!edges) return;
      drag = { from: [x, y], box: [...state.box], edges };
      svg.setPointerCapture(event.pointerId);
      svg.focus();
      event.preventDefault();
    });
    svg.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const [x, y] = place(event);
      const by = [x - drag.from[0], y - drag.from[1]];
      moved(drag.box, drag.edges, by);
    });
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (drag = null));
    svg.addEventListener("touchstart", (event) => { // a finger on the box drags it, and does not scroll
      if (event.touches.length === 1 && held(place(event.touches[0]), FINGER * perScreenPixel()))
        event.preventDefault();
    }, { passive: false });
    byId("nudge").querySelectorAll("button").forEach(listenToButton);
    svg.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!way) return;
      const step = event.shiftKey ? 1 : 0.1;
      moved(state.box, event.altKey ? [2, 3] : [0, 1, 2, 3], way.map((w) => w * step));
      event.preventDefault();
    });
    for (const id of ["stride", "bins", "samples"])
      byId(id).addEventListener("input", () => {
        state[id] = Number(byId(id).value);
        state.chosen = state.chosen.map((k) => Math.min(k, state.bins - 1));
        draw();
      });
    byId("aligned").addEventListener("input", () => { state.aligned = byId("aligned").checked; draw(); });
    byId("colour").addEventListener("input", () => { state.colour = byId("colour").value; draw(); });
    const choice = byId("object");
    for (const name of ["free", ...Object.keys(data.boxes)]) choice.add(new Option(name, name));
    choice.addEventListener("input", () => {
      if (data.boxes[choice.value]) state.box = [...data.boxes[choice.value]];
      draw();
    });
  }

  // A click moves the box once, a held button again and again.
  function listenToButton(button) {
    const way = button.dataset.way.split(",").map((w) => 0.1 * Number(w));
    const step = () => moved(state.box, [0, 1, 2, 3], way);
    let again = 0;
    const stop = () => clearInterval(again);
    button.addEventListener("click", step);
    button.addEventListener("pointerdown", () => {
      stop();
      const from = Date.now();
      again = setInterval(() => Date.now() - from > 400 && step(), 60);
    });
    for (const end of ["pointerup", "pointercancel", "pointerleave", "contextmenu"])
      button.addEventListener(end, stop);
  }

  function moved(box, edges, by) {
    const next = [...box];
    for (const edge of edges) next[edge] += by[edge % 2];
    // The box stays in the picture and keeps a pixel of width and height.
    if (edges.length === 4)
      for (const axis of [0, 1]) {
        const back = Math.max(-next[axis], 0) - Math.max(next[axis + 2] - SIZE, 0);
        next[axis] += back;
        next[axis + 2] += back;
      }
    for (const axis of [0, 1]) {
      if (edges.includes(axis) && edges.length < 4) next[axis] = Math.min(next[axis], next[axis + 2] - 1);
      if (edges.includes(axis + 2) && edges.length < 4)
        next[axis + 2] = Math.max(next[axis + 2], next[axis] + 1);
    }
    state.box = next.map((edge) => Math.round(Math.min(Math.max(edge, 0), SIZE) * 100) / 100);
    byId("object").value = "free";
    draw();
  }

  // ---- one panel for each operation

  function drawPanel(operation) {
    const { box, stride, bins, samples, aligned } = state;
    const { numbers, picture } = mapOf(stride);
    const cells = SIZE / stride;
    const region = regionRead(operation, box, stride, aligned);
    const inCells = box.map((edge) => edge / stride);
    const regions = OPERATIONS.map((name) => regionRead(name, box, stride, aligned));
    // All three look at the same window, so that they can be compared.
    const low = [0, 1].map((k) => Math.floor(Math.min(...regions.map((r) => r[k])) - 1));
    const high = [2, 3].map((k) => Math.ceil(Math.max(...regions.map((r) => r[k])) + 1));
    const [width, height] = [high[0] - low[0], high[1] - low[1]];
    const line = Math.max(width, height) / 130;

    const figure = document.createElement("figure");
    const left = document.createElement("div");
    const right = document.createElement("div");
    figure.append(left, right);
    left.innerHTML = `<h3 style="color:${COLOURS[operation]}">${operation}</h3>`;
    const svg = element("svg", { viewBox: `${low[0]} ${low[1]} ${width} ${height}`, role: "img",
      "aria-label": `What ${operation} reads` }, left);
    const shown = { width: cells, height: cells, preserveAspectRatio: "none",
      style: "image-rendering:pixelated" };
    element("image", { href: picture, ...shown }, svg);
    const settings = { stride, bins, samples, aligned };
    if (state.colour === "gradient") {
      const taught = footprint(operation, numbers, box, settings);
      const most = Math.max(...taught.flat(), 1e-9);
      element("image", { href: pictureOf(taught, (value) => [0, 0.62, 0.45, 0.9 * (value / most) ** 0.6]),
        ...shown }, svg);
    }
    for (let at = low[0]; at <= high[0] && width < 60; at++)
      element("line", { class: "grid", x1: at, x2: at, y1: low[1], y2: high[1],
        style: `stroke-width:${line / 3}` }, svg);
    for (let at = low[1]; at <= high[1] && width < 60; at++)
      element("line", { class: "grid", y1: at, y2: at, x1: low[0], x2: high[0],
        style: `stroke-width:${line / 3}` }, svg);
    element("rect", { class: "read", ...rectangle(region), style: `stroke-width:${2 * line}` }, svg);
    drawBins(svg, operation, region, cells, line);
    element("rect", { class: "true", ...rectangle(inCells),
      style: `stroke-width:${2 * line};stroke-dasharray:${4 * line} ${3 * line}` }, svg);

    const pixels = region.map((edge) => edge * stride);
    const away = [0, 1].map((k) => (pixels[k] + pixels[k + 2] - box[k] - box[k + 2]) / 2);
    const output = pooled(operation, numbers, box, settings);
    const truth = exact(numbers, box, settings);
    const off = Math.max(...output.flat().map((value, k) => Math.abs(value - truth.flat()[k])));
    const facts = [
      ["IoU of box and region", overlap(box, pixels).toFixed(3)],
      ["centre off by, px", away.map((v) => (v >= 0 ? "+" : "−") + Math.abs(v).toFixed(1)).join(", ")],
      ["most off the exact mean", off.toFixed(3)],
    ];
    right.innerHTML = "<dl>" + facts.map(([k, v]) => `<dt>${k}</dt><dd>${v}</dd>`).join("") + "</dl>";
    right.appendChild(outputTable(output, operation));
    return figure;
  }

  function drawBins(svg, operation, [x1, y1, x2, y2], cells, line) {
    const { bins, samples } = state;
    const style = `stroke-width:${line}`;
    const [row, column] = state.chosen;
    if (operation === "RoIPool") {
      // Bins of whole cells may share cells; each is drawn a little smaller, so that one sees it.
      const down = wholeCellBins(y1, y2, bins, cells);
      const across = wholeCellBins(x1, x2, bins, cells);
      down.forEach(([top, bottom], i) => across.forEach(([left, right], j) => {
        const inset = 0.06 + 0.05 * ((i + j) % 2);
        const edges = [left + inset, top + inset, right - inset, bottom - inset];
        const mine = i === row && j === column;
        element("rect", { class: "bin", ...rectangle(edges),
          style: style + (mine ? ";fill:var(--warp);fill-opacity:.35" : "") }, svg);
      }));
      return;
    }
    for (let k = 0; k <= bins; k++) {
      const [x, y] = [x1 + ((x2 - x1) * k) / bins, y1 + ((y2 - y1) * k) / bins];
      element("line", { class: "bin", x1: x, x2: x, y1, y2, style }, svg);
      element("line", { class: "bin", y1: y, y2: y, x1, x2, style }, svg);
    }
    const across = samplePoints(x1, x2, bins, samples, cells);
    const down = samplePoints(y1, y2, bins, samples, cells);
    // The chosen bin's points, their four neighbours, and the weights as areas.
    for (const y of down[row]) for (const x of across[column]) {
      const [inRow, inColumn] = [neighbours(y, cells), neighbours(x, cells)];
      if (!inRow || !inColumn) continue;
      inRow.cells.forEach((v, a) => inColumn.cells.forEach((u, b) => {
        const side = 0.8 * Math.sqrt((inRow.weights[a] * inColumn.weights[b]) / samples ** 2);
        element("rect", { class: "weight", x: u + 0.5 - side / 2, y: v + 0.5 - side / 2, width: side,
          height: side, "fill-opacity": 0.55 }, svg);
        element("line", { class: "bin", x1: x, y1: y, x2: u + 0.5, y2: v + 0.5,
          style: `stroke-width:${line / 2};stroke-opacity:.7` }, svg);
      }));
    }
    if (bins * samples > 40) return;
    for (const y of down.flat()) for (const x of across.flat())
      element("circle", { cx: x, cy: y, r: 1.3 * line, fill: "var(--read)", stroke: "#fff",
        "stroke-width": line / 3 }, svg);
  }

  function outputTable(output, operation) {
    const table = document.createElement("table");
    table.className = "output";
    table.id = `output-${operation}`;
    const choose = (i, j) => {
      state.chosen = [i, j].map((k) => Math.min(Math.max(k, 0), state.bins - 1));
      draw();
      document.querySelector(`#output-${operation} .chosen`).focus(); // the table is another one now
    };
    output.forEach((values, i) => {
      const row = table.insertRow();
      values.forEach((value, j) => {
        const cell = row.insertCell();
        cell.textContent = state.bins <= 5 ? value.toFixed(2) : "\u00a0";
        cell.title = value.toFixed(4);
        const shade = Math.round(255 * Math.min(Math.max(value, 0), 1));
        cell.style.background = `rgb(${shade},${shade},${shade})`;
        cell.style.color = shade > 130 ? "#000" : "#fff";
        const mine = i === state.chosen[0] && j === state.chosen[1];
        if (mine) cell.className = "chosen";
        cell.tabIndex = mine ? 0 : -1;
        cell.setAttribute("aria-label", `bin ${i + 1}, ${j + 1}: ${value.toFixed(2)}`);
        cell.addEventListener("click", () => choose(i, j));
        cell.addEventListener("keydown", (event) => {
          const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
          if (!way) return;
          choose(i + way[0], j + way[1]);
          event.preventDefault();
        });
      });
    });
    return table;
  }

  // ---- output against shift

  function drawChart() {
    const svg = byId("chart");
    svg.replaceChildren();
    const { box, stride, bins, samples, aligned } = state;
    const { numbers } = mapOf(stride);
    const [wide, tall, edge] = [svg.clientWidth || 800, 230, { left: 46, right: 90, top: 12, bottom: 34 }];
    svg.setAttribute("viewBox", `0 0 ${wide} ${tall}`);
    const most = 3 * stride;
    const shifts = Array.from({ length: 241 }, (_, k) => (k * most) / 240);
    const middle = Math.floor(bins / 2);
    const curves = OPERATIONS.map((name) => shifts.map((by) =>
      pooled(name, numbers, [box[0] + by, box[1], box[2] + by, box[3]],
        { stride, bins, samples, aligned })[middle][middle]));
    const all = curves.flat();
    const [lowest, highest] = [Math.min(...all) - 0.02, Math.max(...all) + 0.02];
    const x = (by) => edge.left + (by / most) * (wide - edge.left - edge.right);
    const y = (v) => edge.top + ((highest - v) / (highest - lowest)) * (tall - edge.top - edge.bottom);
    for (let by = 0; by <= most; by += stride) {
      element("line", { x1: x(by), x2: x(by), y1: edge.top, y2: tall - edge.bottom,
        stroke: "var(--line)" }, svg);
      element("text", { x: x(by), y: tall - 18, "text-anchor": "middle" }, svg).textContent = by;
    }
    element("text", { x: (wide - edge.right + edge.left) / 2, y: tall - 3, "text-anchor": "middle" },
      svg).textContent = "shift of the box, in pixels";
    for (const v of [lowest, highest])
      element("text", { x: edge.left - 6, y: y(v) + 4, "text-anchor": "end" }, svg).textContent = v.toFixed(2);
    const ends = curves.map((curve, k) => ({ k, y: y(curve.at(-1)) })).sort((a, b) => a.y - b.y);
    for (let k = 1; k < ends.length; k++) ends[k].y = Math.max(ends[k].y, ends[k - 1].y + 14);
    OPERATIONS.forEach((name, k) => {
      const points = curves[k].map((v, i) => `${x(shifts[i]).toFixed(1)},${y(v).toFixed(1)}`);
      element("path", { d: "M" + points.join("L"), style: `stroke:${COLOURS[name]}`,
        "stroke-dasharray": DASHES[name] }, svg);
      element("text", { x: wide - edge.right + 6, y: ends.find((end) => end.k === k).y + 4,
        style: `fill:${COLOURS[name]}` }, svg).textContent = name;
    });
  }

  // ---- a mask through each

  function drawMasks() {
    const holder = byId("masks");
    holder.replaceChildren();
    // The view always has the helmet's own box, moved as the box of the page is off a cell's border.
    const own = data.boxes.helmet;
    const by = [0, 1].map((k) => ((state.box[k] % state.stride) - (own[k] % state.stride)) % state.stride);
    const box = [own[0] + by[0], own[1] + by[1], own[2] + by[0], Math.min(own[3] + by[1], SIZE)];
    const truth = outline.map((row) => row.map(Number));
    for (const name of OPERATIONS) {
      const region = regionRead(name, box, state.stride, state.aligned).map((c) => c * state.stride);
      const view = cropMask(truth, region, 28);
      const pasted = pasteMask(view, box, SIZE, SIZE);
      const figure = document.createElement("figure");
      const [x1, y1, x2, y2] = [own[0] - 30, own[1] - 30, SIZE, SIZE];
      const svg = element("svg", { viewBox: `${x1} ${y1} ${x2 - x1} ${y2 - y1}`, role: "img",
        "aria-label": `The mask through ${name}` }, figure);
      element("image", { href: data.photograph, width: SIZE, height: SIZE }, svg);
      // Right pixels stay, missed ones and ones too many get a colour.
      const wrong = pasted.map((row, v) => row.map((p, u) => (p && !outline[v][u] ? 2 : !p && outline[v][u] ? 1 : p ? 3 : 0)));
      element("image", { href: pictureOf(wrong, (kind) =>
        [[0, 0, 0, 0], [0.84, 0.37, 0, 0.9], [0, 0.45, 0.7, 0.9], [1, 1, 1, 0.25]][kind]),
        width: SIZE, height: SIZE, style: "image-rendering:pixelated" }, svg);
      const caption = document.createElement("figcaption");
      // Only what is inside of the box can be right.
      const inside = outline.map((row, v) => row.map((m, u) =>
        m && u + 0.5 >= box[0] && u + 0.5 < box[2] && v + 0.5 >= box[1] && v + 0.5 < box[3]));
      caption.innerHTML = `<b style="color:${COLOURS[name]}">${name}</b>: mask IoU ${maskOverlap(inside, pasted).toFixed(3)}; ` +
        `<span style="color:var(--true)">missed</span>, <span style="color:var(--read)">too much</span>`;
      figure.appendChild(caption);
      holder.appendChild(figure);
    }
  }

  // ---- the figures that everybody should know

  function meanOverlap(side, stride) {
    let [sum, count] = [0, 64];
    for (let a = 0; a < count; a++) for (let b = 0; b < count; b++) {
      const [x, y] = [a, b].map((k) => 1000 * stride + ((k + 0.5) / count) * stride);
      const box = [x, y, x + side, y + side];
      sum += overlap(box, regionRead("RoIPool", box, stride).map((c) => c * stride));
    }
    return sum / count ** 2;
  }

  function drawFigures() {
    const strides = [4, 8, 16, 32];
    byId("means").innerHTML =
      "<tr><th>stride</th>" + strides.map((s) => `<th>${s}</th>`).join("") + "</tr><tr><th>mean IoU</th>" +
      strides.map((s) => `<td>${meanOverlap(32, s).toFixed(2)}</td>`).join("") + "</tr>";
    const ramp = Array.from({ length: 5 }, (_, v) => Array.from({ length: 5 }, (_, u) => 5 * v + u));
    for (const aligned of [false, true])
      byId(aligned ? "say-aligned" : "say-legacy").textContent =
        pooled("RoIAlign", ramp, [1, 1, 3, 3], { stride: 1, bins: 4, aligned })[0][0];
    byId("licence").textContent = "Photograph: " + data.licence + ".";
  }

  let waiting = 0;
  function draw() {
    byId("say-stride").textContent = state.stride;
    byId("say-bins").textContent = state.bins;
    byId("say-samples").textContent = state.samples;
    byId("say-box").textContent = state.box.map((edge) => edge.toFixed(1)).join(", ");
    drawPhoto();
    byId("panels").replaceChildren(...OPERATIONS.map(drawPanel));
    drawChart();
    clearTimeout(waiting); // masks are the slowest: when the box rests
    waiting = setTimeout(drawMasks, 120);
  }

  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIZE;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, SIZE, SIZE).data;
    luminance = Array.from({ length: SIZE }, (_, y) => Array.from({ length: SIZE }, (_, x) => {
      const k = 4 * (y * SIZE + x);
      return (0.299 * pixels[k] + 0.587 * pixels[k + 1] + 0.114 * pixels[k + 2]) / 255;
    }));
    listen();
    drawFigures();
    draw();
    window.addEventListener("resize", drawChart);
    window.misalignment = { state, draw, mapOf }; // for tests
  };
  image.src = data.photograph;
})();
