// RoIPool, RoIWarp and RoIAlign as plain functions of numbers: what each reads, and what comes out.
//
// Coordinates as everywhere in minirnn: cell i of a map covers [i, i + 1) and has its centre at i + 1/2;
// a box is [x1, y1, x2, y2] in pixels. Tests hold these functions against the library to 1e-9.
"use strict";

const OPERATIONS = ["RoIPool", "RoIWarp", "RoIAlign"];

const roundHalfAway = (v) => (v >= 0 ? Math.floor(v + 0.5) : Math.ceil(v - 0.5));

// The region, in cells, that an operation divides into bins.
function regionRead(operation, box, stride, aligned = true) {
  const cells = box.map((edge) => edge * (1 / stride));
  if (operation === "RoIAlign") {
    if (aligned) return cells;
    const [x1, y1, x2, y2] = cells.map((edge) => edge + 0.5); // the legacy way: half a cell beside it
    return [x1, y1, x1 + Math.max(x2 - x1, 1), y1 + Math.max(y2 - y1, 1)];
  }
  const [x1, y1, x2, y2] = cells.map(roundHalfAway);
  return [x1, y1, x1 + Math.max(x2 - x1 + 1, 1), y1 + Math.max(y2 - y1 + 1, 1)]; // the last cell, too
}

// RoIPool's bins along one axis: [from, to) in whole cells, cut at the border of the map.
function wholeCellBins(low, high, bins, cells) {
  const width = (high - low) / bins;
  const found = [];
  for (let i = 0; i < bins; i++) {
    const from = Math.max(low + Math.floor(i * width), 0);
    const to = Math.min(low + Math.ceil((i + 1) * width), cells);
    found.push([from, to]);
  }
  return found;
}

// The two cells that a point reads along one axis, with their weights; null where it reads nothing.
function neighbours(at, cells) {
  let place = at - 0.5; // counted from the centre of cell 0
  if (place < -1 || place > cells) return null;
  place = Math.min(Math.max(place, 0), cells - 1);
  const first = Math.floor(place);
  const part = place - first;
  return { at, cells: [first, Math.min(first + 1, cells - 1)], weights: [1 - part, part] };
}

// The points of each bin along one axis; samples = 0: as many as the bin has cells.
function samplePoints(low, high, bins, samples, cells) {
  const width = (high - low) / bins;
  const count = samples || Math.max(Math.ceil(width), 1);
  const found = [];
  for (let i = 0; i < bins; i++) {
    const points = [];
    for (let k = 0; k < count; k++) points.push(low + i * width + ((k + 0.5) * width) / count);
    found.push(points);
  }
  return found;
}

// (bins, cells): the weight of each cell in the mean over each bin's points, along one axis.
function axisWeights(low, high, bins, samples, cells) {
  return samplePoints(low, high, bins, samples, cells).map((points) => {
    const row = new Array(cells).fill(0);
    for (const at of points) {
      const read = neighbours(at, cells);
      if (!read) continue;
      read.cells.forEach((cell, k) => (row[cell] += read.weights[k] / points.length));
    }
    return row;
  });
}

// The same for infinitely many points: between two centres a reading is linear, so its mean over a
// stretch is its value in the middle. This is the exact mean of the map over each bin.
function exactWeights(low, high, bins, cells) {
  const width = (high - low) / bins;
  const found = [];
  for (let i = 0; i < bins; i++) {
    const row = new Array(cells).fill(0);
    const from = low + i * width;
    const to = from + width;
    const cuts = [from, -0.5, cells + 0.5];
    for (let k = 0; k < cells; k++) cuts.push(k + 0.5);
    cuts.push(to);
    const inside = cuts.filter((c) => c >= from && c <= to).sort((a, b) => a - b);
    for (let k = 0; k + 1 < inside.length; k++) {
      const part = (inside[k + 1] - inside[k]) / (to - from);
      const read = part > 0 ? neighbours((inside[k] + inside[k + 1]) / 2, cells) : null;
      if (read) read.cells.forEach((cell, j) => (row[cell] += read.weights[j] * part));
    }
    found.push(row);
  }
  return found;
}

// rows @ map @ columns^T
function weighted(rows, map, columns) {
  return rows.map((row) => {
    const line = new Array(map[0].length).fill(0);
    row.forEach((w, v) => {
      if (w) for (let u = 0; u < line.length; u++) line[u] += w * map[v][u];
    });
    return columns.map((column) => column.reduce((sum, w, u) => sum + (w ? w * line[u] : 0), 0));
  });
}

// The output grid (bins, bins) of an operation on a map (rows of numbers), for a box in pixels.
function pooled(operation, map, box, { stride, bins, samples = 2, aligned = true }) {
  const [height, width] = [map.length, map[0].length];
  const [x1, y1, x2, y2] = regionRead(operation, box, stride, aligned);
  if (operation !== "RoIPool") {
    if (x2 <= x1 || y2 <= y1) return Array.from({ length: bins }, () => new Array(bins).fill(0));
    return weighted(
      axisWeights(y1, y2, bins, samples, height), map, axisWeights(x1, x2, bins, samples, width));
  }
  const columns = wholeCellBins(x1, x2, bins, width);
  return wholeCellBins(y1, y2, bins, height).map(([top, bottom]) =>
    columns.map(([left, right]) => {
      let most = -Infinity;
      for (let v = top; v < bottom; v++)
        for (let u = left; u < right; u++) most = Math.max(most, map[v][u]);
      return most === -Infinity ? 0 : most;
    }));
}

// The mean of the map over each bin of the true box.
function exact(map, box, { stride, bins }) {
  const [x1, y1, x2, y2] = box.map((edge) => edge / stride);
  return weighted(
    exactWeights(y1, y2, bins, map.length), map, exactWeights(x1, x2, bins, map[0].length));
}

// The gradient of the sum of all bins with respect to each cell: whom an operation teaches.
function footprint(operation, map, box, { stride, bins, samples = 2, aligned = true }) {
  const [height, width] = [map.length, map[0].length];
  const taught = Array.from({ length: height }, () => new Array(width).fill(0));
  const [x1, y1, x2, y2] = regionRead(operation, box, stride, aligned);
  if (operation === "RoIPool") {
    for (const [top, bottom] of wholeCellBins(y1, y2, bins, height))
      for (const [left, right] of wholeCellBins(x1, x2, bins, width)) {
        let best = null;
        for (let v = top; v < bottom; v++)
          for (let u = left; u < right; u++)
            if (best === null || map[v][u] > map[best[0]][best[1]]) best = [v, u];
        if (best) taught[best[0]][best[1]] += 1;
      }
    return taught;
  }
  if (x2 <= x1 || y2 <= y1) return taught;
  const sum = (rows) => rows[0].map((_, cell) => rows.reduce((total, row) => total + row[cell], 0));
  const down = sum(axisWeights(y1, y2, bins, samples, height));
  const across = sum(axisWeights(x1, x2, bins, samples, width));
  down.forEach((a, v) => across.forEach((b, u) => (taught[v][u] = a * b)));
  return taught;
}

// IoU of two boxes.
function overlap(a, b) {
  const shared =
    Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0) *
    Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
  const area = (c) => (c[2] - c[0]) * (c[3] - c[1]);
  return shared / (area(a) + area(b) - shared);
}

// A mask's view from a region, in pixels: RoIAlign with as many points as a bin has pixels.
function cropMask(mask, region, size) {
  return pooled("RoIAlign", mask, region, { stride: 1, bins: size, samples: 0 });
}

// A size x size mask stretched over a box and read at the pixels' centres; zeros lie around it.
function pasteMask(probabilities, box, height, width) {
  const size = probabilities.length;
  const weights = (start, stop, pixels) =>
    Array.from({ length: pixels }, (_, p) => {
      const row = new Array(size).fill(0);
      const place = ((p + 0.5 - start) / (stop - start)) * size - 0.5;
      const first = Math.floor(place);
      const part = place - first;
      if (first >= 0 && first < size) row[first] += 1 - part;
      if (first + 1 >= 0 && first + 1 < size) row[first + 1] += part;
      return row;
    });
  const read = weighted(
    weights(box[1], box[3], height), probabilities, weights(box[0], box[2], width));
  return read.map((row) => row.map((value) => value >= 0.5));
}

// IoU of two masks (rows of booleans or of 0 and 1).
function maskOverlap(a, b) {
  let [shared, either] = [0, 0];
  a.forEach((row, v) => row.forEach((value, u) => {
    shared += value && b[v][u] ? 1 : 0;
    either += value || b[v][u] ? 1 : 0;
  }));
  return either ? shared / either : 1;
}

// (height, width) booleans: which pixels have their centre inside a polygon [[x, y], ...].
function rasterised(polygon, height, width) {
  return Array.from({ length: height }, (_, v) =>
    Array.from({ length: width }, (_, u) => {
      let inside = false;
      polygon.forEach(([x1, y1], k) => {
        const [x2, y2] = polygon[(k + 1) % polygon.length];
        if (y1 > v + 0.5 !== y2 > v + 0.5 && u + 0.5 < x1 + ((v + 0.5 - y1) / (y2 - y1)) * (x2 - x1))
          inside = !inside;
      });
      return inside;
    }));
}

if (typeof module !== "undefined")
  module.exports = {
    OPERATIONS, regionRead, wholeCellBins, neighbours, samplePoints, axisWeights, exactWeights,
    pooled, exact, footprint, overlap, cropMask, pasteMask, maskOverlap, rasterised,
  };
