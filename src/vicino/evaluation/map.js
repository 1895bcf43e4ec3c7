"use strict";
// The map of vicino. It reads the data that stands in the page, draws it on a canvas, and asks nothing of any other place.
// Text from the data is only ever put into text nodes and onto the canvas.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const canvas = $("map");
  const pen = canvas.getContext("2d");
  const n = data.ids.length;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const SHAPES = ["circle", "square", "triangle"];
  const COLOURS = 8;
  const NEAR = 14; // pixels between the pointer and a point that it means
  const LISTED = 50; // answers of a search that are shown
  const NAMED = 140; // names on the map at a time
  const RANK = COLOURS * SHAPES.length; // labels with a look of their own; the others share one

  // State --------------------------------------------------------------------------------------------------------------

  const planes = {};
  for (const [method, steps] of Object.entries(data.planes)) {
    planes[method] = Float32Array.from(steps, (step) => step / 65535 - 0.5);
  }
  let method = Object.keys(planes)[0];
  let at = planes[method].slice(); // where each point stands now: x, y in -0.5 .. 0.5
  let grid = null;
  let width = 0, height = 0, ratio = 1;
  const view = { x: 0, y: 0, scale: 1 };
  let fitted = 1;
  let only = new Set(); // labels that are shown alone; empty for all
  let found = null; // rows that a search found, or null
  let foundSet = null;
  let hovered = -1, chosen = -1;
  let names = true;
  let moving = 0; // the animation that runs
  let asked = false; // whether a frame was asked for
  let look = {};

  const label = (row) => (data.label ? data.label[row] : -1);
  const caption = (row) => data.captions[row] || data.ids[row];
  const shown = (row) => only.size === 0 || only.has(label(row));
  const lit = (row) => shown(row) && (foundSet === null || foundSet.has(row));
  const haystack = data.ids.map((id, row) => {
    const name = data.label ? data.labels[data.label[row]] : "";
    return `${id}\n${data.captions[row]}\n${name}`.toLowerCase();
  });
  const brief = data.captions.every((text, row) => (text || data.ids[row]).length <= 40) && data.sheets.length === 0;
  const sheets = data.sheets.map((uri) => {
    const image = new Image();
    image.addEventListener("load", draw);
    image.src = uri;
    return image;
  });

  // Colours ------------------------------------------------------------------------------------------------------------

  function readLook() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    look = {
      paper: colour("--paper"), ink: colour("--ink"), soft: colour("--soft"), line: colour("--line"), accent: colour("--accent"),
      rest: colour("--rest"), dots: Array.from({ length: COLOURS }, (_, i) => colour(`--dot${i}`)), stamps: new Map(),
    };
  }

  const colourOf = (rank) => (rank < 0 ? look.dots[0] : rank < RANK ? look.dots[rank % COLOURS] : look.rest);
  const shapeOf = (rank) => (rank < 0 || rank >= RANK ? "circle" : SHAPES[Math.floor(rank / COLOURS)]);

  function trace(context, shape, x, y, r) {
    context.beginPath();
    if (shape === "circle") context.arc(x, y, r, 0, 2 * Math.PI);
    else if (shape === "square") context.rect(x - 0.88 * r, y - 0.88 * r, 1.76 * r, 1.76 * r);
    else {
      context.moveTo(x, y - 1.2 * r);
      context.lineTo(x + 1.1 * r, y + 0.8 * r);
      context.lineTo(x - 1.1 * r, y + 0.8 * r);
      context.closePath();
    }
  }

  function stamp(rank, r) { // a point drawn once, to be put down many times
    const key = `${Math.min(rank, RANK)} ${r}`;
    if (!look.stamps.has(key)) {
      const made = document.createElement("canvas");
      made.width = made.height = Math.ceil(2 * (1.3 * r + 1) * ratio);
      const context = made.getContext("2d");
      context.scale(ratio, ratio);
      const middle = made.width / ratio / 2;
      trace(context, shapeOf(rank), middle, middle, r);
      context.fillStyle = colourOf(rank);
      context.fill();
      if (r >= 2.6) {
        context.lineWidth = 0.8;
        context.strokeStyle = look.paper;
        context.stroke();
      }
      look.stamps.set(key, made);
    }
    return look.stamps.get(key);
  }

  // Where things are ---------------------------------------------------------------------------------------------------

  const screenX = (row) => (at[2 * row] - view.x) * view.scale + width / 2;
  const screenY = (row) => (at[2 * row + 1] - view.y) * view.scale + height / 2;
  const zoomed = () => view.scale / fitted;

  function radius() {
    const base = Math.min(6.5, Math.max(1.2, 6.5 * Math.pow(100 / n, 0.22)));
    return Math.round(Math.min(9, base * Math.pow(zoomed(), 0.33)) * 4) / 4;
  }

  function buildGrid() { // rows sorted by the cell they stand in
    const cells = Math.max(1, Math.min(256, Math.ceil(Math.sqrt(n / 2))));
    const cell = (row) => {
      const x = Math.min(cells - 1, Math.max(0, Math.floor((at[2 * row] + 0.5) * cells)));
      const y = Math.min(cells - 1, Math.max(0, Math.floor((at[2 * row + 1] + 0.5) * cells)));
      return y * cells + x;
    };
    const begins = new Int32Array(cells * cells + 1);
    for (let row = 0; row < n; row++) begins[cell(row) + 1]++;
    for (let i = 0; i < cells * cells; i++) begins[i + 1] += begins[i];
    const next = begins.slice();
    const rows = new Int32Array(n);
    for (let row = 0; row < n; row++) rows[next[cell(row)]++] = row;
    grid = { cells, begins, rows };
  }

  function* within(x0, y0, x1, y1) { // rows in the cells that a rectangle of the plane touches
    const { cells, begins, rows } = grid;
    const clamp = (v) => Math.min(cells - 1, Math.max(0, Math.floor((v + 0.5) * cells)));
    for (let y = clamp(y0); y <= clamp(y1); y++) {
      for (let i = begins[y * cells + clamp(x0)]; i < begins[y * cells + clamp(x1) + 1]; i++) yield rows[i];
    }
  }

  function nearestTo(px, py, reach) {
    const x = (px - width / 2) / view.scale + view.x, y = (py - height / 2) / view.scale + view.y, far = reach / view.scale;
    let best = -1, least = far * far;
    for (const row of within(x - far, y - far, x + far, y + far)) {
      if (!shown(row)) continue;
      const dx = at[2 * row] - x, dy = at[2 * row + 1] - y, d = dx * dx + dy * dy;
      if (d <= least && (best < 0 || d < least || lit(row))) { best = row; least = d; }
    }
    return best;
  }

  // Drawing ------------------------------------------------------------------------------------------------------------

  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; paint(); });
  }

  function visibleRows() {
    const halfX = width / 2 / view.scale, halfY = height / 2 / view.scale, margin = 20 / view.scale;
    if (zoomed() <= 1.05 || moving) return Array.from({ length: n }, (_, row) => row);
    const rows = [...within(view.x - halfX - margin, view.y - halfY - margin, view.x + halfX + margin, view.y + halfY + margin)];
    return rows.sort((a, b) => a - b);
  }

  function paint() {
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const rows = visibleRows();
    const pictured = sheets.length > 0 && !moving && rows.length <= 600 && zoomed() > 1.5;
    if (pictured || (sheets.length > 0 && !moving && n <= 600)) paintPictures(rows);
    else paintPoints(rows);
    if (names && !moving) {
      const few = data.label && data.labels.length > 1 && data.labels.length <= RANK;
      if (brief && (!few || zoomed() > 2)) paintNames(rows.filter(lit));
      else if (few) paintLabels();
    }
    paintChosen();
  }

  function paintPoints(rows, all = false) {
    const r = radius(), small = r < 1.6, side = 2 * r, dimmed = [];
    pen.globalAlpha = brief && names && !data.label ? 0.5 : n > 4000 ? 0.78 : 0.92; // names are read over paler points
    const put = (row) => {
      const x = screenX(row), y = screenY(row);
      if (x < -10 || y < -10 || x > width + 10 || y > height + 10) return;
      const rank = label(row);
      if (small) { pen.fillStyle = colourOf(rank); pen.fillRect(x - r, y - r, side, side); return; }
      const mark = stamp(rank, r), wide = mark.width / ratio;
      pen.drawImage(mark, x - wide / 2, y - wide / 2, wide, wide);
    };
    const bright = [];
    for (const row of rows) (all || lit(row) ? bright : dimmed).push(row);
    if (dimmed.length) { // what is not meant stays as a shade, so that the shape of the whole is not lost
      const d = Math.max(1, 0.7 * r);
      pen.save();
      pen.globalAlpha = 0.3;
      pen.fillStyle = look.rest;
      for (const row of dimmed) pen.fillRect(screenX(row) - d, screenY(row) - d, 2 * d, 2 * d);
      pen.restore();
    }
    if (small) bright.sort((a, b) => label(a) - label(b)); // fewer changes of colour
    for (const row of bright) put(row);
    pen.globalAlpha = 1;
  }

  function pictureSide() { return Math.min(64, Math.max(22, 20 * Math.pow(zoomed(), 0.4))); }

  function paintPicture(row, x, y, side, context = pen) {
    const each = data.across * data.across, sheet = sheets[Math.floor(row / each)], place = row % each;
    if (!sheet || !sheet.complete || !sheet.naturalWidth) return;
    const left = (place % data.across) * data.side, top = Math.floor(place / data.across) * data.side;
    context.drawImage(sheet, left, top, data.side, data.side, x, y, side, side);
  }

  function paintPictures(rows) {
    const side = pictureSide();
    for (const bright of [false, true]) {
      pen.globalAlpha = bright ? 1 : 0.12;
      for (const row of rows) {
        if (lit(row) !== bright) continue;
        const x = screenX(row) - side / 2, y = screenY(row) - side / 2;
        paintPicture(row, x, y, side);
        pen.lineWidth = 2;
        pen.strokeStyle = colourOf(label(row));
        pen.strokeRect(x, y, side, side);
      }
    }
    pen.globalAlpha = 1;
  }

  function haloed(text, x, y, font, colour, halo = 4) {
    pen.font = font;
    pen.lineJoin = "round";
    pen.lineWidth = halo;
    pen.strokeStyle = look.paper;
    pen.strokeText(text, x, y);
    pen.fillStyle = colour;
    pen.fillText(text, x, y);
  }

  const FACE = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
  const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

  function placer() { // says whether a box is free, and takes it
    const taken = [];
    return (x, y, w, h) => {
      for (const b of taken) if (x < b[0] + b[2] && b[0] < x + w && y < b[1] + b[3] && b[1] < y + h) return false;
      taken.push([x, y, w, h]);
      return true;
    };
  }

  function paintNames(rows) { // the first ones first, as on maps of countries; none over another
    const free = placer(), r = radius();
    let count = 0;
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    for (let i = 0; i < rows.length && i < 4000 && count < NAMED; i++) {
      const row = rows[i], text = cut(caption(row), 28), size = i < 40 ? 13 : 12;
      const font = `${i < 40 ? 600 : 500} ${size}px ${FACE}`;
      pen.font = font;
      const wide = pen.measureText(text).width, x = screenX(row) + r + 4, y = screenY(row);
      if (x < 0 || x + wide > width || y < 8 || y > height - 8) continue;
      if (!free(x - r - 6, y - 9, wide + r + 14, 18)) continue;
      haloed(text, x, y, font, look.ink);
      count++;
    }
  }

  let anchors = null; // for each method and label: where most of it is

  function anchorOf(rank) {
    const key = `${method} ${rank}`;
    anchors = anchors || new Map();
    if (!anchors.has(key)) {
      const cells = 24, counts = new Map();
      let best = null;
      for (let row = 0; row < n; row++) {
        if (label(row) !== rank) continue;
        const place = `${Math.round(at[2 * row] * cells)} ${Math.round(at[2 * row + 1] * cells)}`;
        const sum = counts.get(place) || [0, 0, 0];
        sum[0]++; sum[1] += at[2 * row]; sum[2] += at[2 * row + 1];
        counts.set(place, sum);
        if (!best || sum[0] > best[0]) best = sum;
      }
      anchors.set(key, best && [best[1] / best[0], best[2] / best[0]]);
    }
    return anchors.get(key);
  }

  function paintLabels() {
    const free = placer();
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let rank = 0; rank < data.labels.length; rank++) {
      if ((only.size && !only.has(rank)) || !data.labels[rank]) continue;
      const place = anchorOf(rank);
      if (!place) continue;
      const x = (place[0] - view.x) * view.scale + width / 2, y = (place[1] - view.y) * view.scale + height / 2;
      const text = cut(data.labels[rank], 28), font = `650 14px ${FACE}`;
      pen.font = font;
      const wide = pen.measureText(text).width;
      for (const shift of [0, -19, 19, -38, 38]) {
        if (!free(x - wide / 2 - 6, y + shift - 10, wide + 12, 20)) continue;
        haloed(text, x, y + shift, font, look.ink, 5);
        break;
      }
    }
  }

  function ring(row, r, colour, wide) {
    pen.beginPath();
    pen.arc(screenX(row), screenY(row), r, 0, 2 * Math.PI);
    pen.lineWidth = wide + 2.5;
    pen.strokeStyle = look.paper;
    pen.stroke();
    pen.lineWidth = wide;
    pen.strokeStyle = colour;
    pen.stroke();
  }

  function neighbours(row) {
    return data.near ? data.near.slice(row * data.k, (row + 1) * data.k) : [];
  }

  function paintChosen() {
    const r = radius();
    if (chosen >= 0) {
      pen.lineWidth = 1.6;
      pen.strokeStyle = look.accent;
      pen.globalAlpha = 0.85;
      for (const row of neighbours(chosen)) {
        pen.beginPath();
        pen.moveTo(screenX(chosen), screenY(chosen));
        pen.lineTo(screenX(row), screenY(row));
        pen.stroke();
      }
      pen.globalAlpha = 1;
      if (!sheets.length) paintPoints([...neighbours(chosen), chosen], true);
      for (const row of neighbours(chosen)) ring(row, r + 2.5, look.accent, 1.6);
      ring(chosen, r + 6, look.ink, 2.2);
      ring(chosen, r + 2.5, look.accent, 2.2);
    }
    if (hovered >= 0 && hovered !== chosen) ring(hovered, r + 4, look.ink, 2);
  }

  // Moving -------------------------------------------------------------------------------------------------------------

  function resize() {
    const box = canvas.getBoundingClientRect();
    const first = width === 0, was = fitted;
    ratio = Math.min(3, window.devicePixelRatio || 1);
    width = box.width; height = box.height;
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    look.stamps.clear();
    fitted = Math.max(40, Math.min(width, height) - 70);
    if (first) view.scale = fitted;
    else view.scale *= fitted / was;
    paint();
  }

  function zoom(by, px = width / 2, py = height / 2) {
    const scale = Math.min(fitted * 400, Math.max(fitted * 0.5, view.scale * by));
    const x = (px - width / 2) / view.scale + view.x, y = (py - height / 2) / view.scale + view.y;
    view.x = x - (px - width / 2) / scale;
    view.y = y - (py - height / 2) / scale;
    view.scale = scale;
    draw();
  }

  function glide(step, done) { // calls step with 0 .. 1, at once for who wants no motion
    cancelAnimationFrame(moving);
    moving = 0;
    if (calm.matches) { step(1); done(); draw(); return; }
    const began = performance.now();
    const frame = (now) => {
      const share = Math.min(1, (now - began) / 650), eased = 1 - Math.pow(1 - share, 3);
      step(eased);
      moving = share < 1 ? requestAnimationFrame(frame) : 0;
      if (!moving) done();
      paint();
    };
    moving = requestAnimationFrame(frame);
  }

  function fit() {
    const from = { ...view };
    glide((share) => {
      view.x = from.x * (1 - share); view.y = from.y * (1 - share);
      view.scale = from.scale + (fitted - from.scale) * share;
    }, () => {});
  }

  function goTo(row) {
    const from = { ...view }, x = at[2 * row], y = at[2 * row + 1], scale = Math.max(view.scale, fitted * 2.5);
    glide((share) => {
      view.x = from.x + (x - from.x) * share; view.y = from.y + (y - from.y) * share;
      view.scale = from.scale + (scale - from.scale) * share;
    }, () => {});
  }

  function change(next) {
    method = next;
    const from = at.slice(), to = planes[next];
    glide((share) => { for (let i = 0; i < 2 * n; i++) at[i] = from[i] + (to[i] - from[i]) * share; }, () => {
      at = to.slice();
      buildGrid();
    });
  }

  // Telling ------------------------------------------------------------------------------------------------------------

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function mark(rank) { // the sign of a label, as on the map
    const made = element("canvas", "mark");
    made.width = made.height = 32;
    const context = made.getContext("2d");
    trace(context, shapeOf(rank), 16, 16, 10);
    context.fillStyle = colourOf(rank);
    context.fill();
    return made;
  }

  function thumbnail(row, side) {
    const made = element("canvas", "thumb");
    made.width = made.height = side * 2;
    made.style.width = made.style.height = `${side}px`;
    paintPicture(row, 0, 0, side * 2, made.getContext("2d"));
    return made;
  }

  function tell(row, px, py) {
    const tip = $("tip");
    hovered = row;
    canvas.classList.toggle("over", row >= 0);
    if (row < 0) { tip.hidden = true; draw(); return; }
    tip.replaceChildren();
    if (sheets.length) tip.append(thumbnail(row, 96));
    const words = element("div");
    words.append(element("p", "tip-text", cut(caption(row), 160)));
    if (data.label && data.labels[label(row)]) {
      const line = element("p", "tip-label");
      line.append(mark(label(row)), element("span", "", data.labels[label(row)]));
      words.append(line);
    }
    tip.append(words);
    tip.hidden = false;
    const wide = tip.offsetWidth, high = tip.offsetHeight;
    tip.style.left = `${px + 18 + wide > width ? Math.max(8, px - wide - 18) : px + 18}px`;
    tip.style.top = `${Math.min(Math.max(8, py - high / 2), Math.max(8, height - high - 8))}px`;
    draw();
  }

  function entry(row) { // a line of a list that leads to a point
    const made = element("button", "entry");
    made.type = "button";
    if (sheets.length) made.append(thumbnail(row, 28));
    else if (data.label) made.append(mark(label(row)));
    made.append(element("span", "", cut(caption(row), 90)));
    made.addEventListener("click", () => { choose(row); goTo(row); });
    made.addEventListener("pointerenter", () => { hovered = row; draw(); });
    made.addEventListener("pointerleave", () => { hovered = -1; draw(); });
    const line = element("li");
    line.append(made);
    return line;
  }

  function choose(row) {
    chosen = row;
    $("card").hidden = row < 0;
    if (row >= 0) {
      const picture = $("card-picture");
      picture.replaceChildren();
      if (sheets.length) picture.append(thumbnail(row, 120));
      $("card-caption").textContent = caption(row);
      $("card-id").textContent = data.captions[row] ? data.ids[row] : "";
      const line = $("card-label");
      line.replaceChildren();
      if (data.label && data.labels[label(row)]) line.append(mark(label(row)), element("span", "", data.labels[label(row)]));
      $("card-near").replaceChildren(...neighbours(row).map(entry));
      $("card-nearest").hidden = neighbours(row).length === 0;
      $("said").textContent = `${cut(caption(row), 120)}${data.label ? `, ${data.labels[label(row)]}` : ""}`;
    }
    draw();
  }

  function search(text) {
    const wanted = text.trim().toLowerCase();
    found = wanted ? [] : null;
    if (wanted) for (let row = 0; row < n; row++) if (haystack[row].includes(wanted)) found.push(row);
    foundSet = found && new Set(found);
    $("hits").textContent = found ? `${found.length.toLocaleString("en")} found` : "";
    $("answers").replaceChildren(...(found || []).slice(0, LISTED).map(entry));
    if (found && found.length > LISTED) $("answers").append(element("li", "more", `and ${(found.length - LISTED).toLocaleString("en")} more`));
    draw();
  }

  function legend() {
    if (!data.label) return;
    const counts = new Array(data.labels.length).fill(0);
    for (const rank of data.label) counts[rank]++;
    $("legend").replaceChildren(...data.labels.map((name, rank) => {
      const made = element("button", "key");
      made.type = "button";
      made.setAttribute("aria-pressed", String(only.has(rank)));
      made.append(mark(rank), element("span", "", name || "no label"), element("span", "key-count", counts[rank].toLocaleString("en")));
      made.addEventListener("click", () => {
        if (only.has(rank)) only.delete(rank);
        else only.add(rank);
        pressed();
      });
      const line = element("li");
      line.append(made);
      return line;
    }));
    pressed();
  }

  function pressed() {
    [...$("legend").querySelectorAll("button")].forEach((made, rank) => made.setAttribute("aria-pressed", String(only.has(rank))));
    $("legend").classList.toggle("some", only.size > 0);
    $("all").hidden = only.size === 0;
    draw();
  }

  // Hands --------------------------------------------------------------------------------------------------------------

  const pointers = new Map();
  let travelled = 0;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    travelled = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [px, py] = place(event);
    if (!pointers.has(event.pointerId)) {
      if (!moving) tell(nearestTo(px, py, NEAR), px, py);
      return;
    }
    const before = [...pointers.values()].map((each) => each.slice()), was = pointers.get(event.pointerId).slice();
    pointers.set(event.pointerId, [px, py]);
    travelled += Math.hypot(px - was[0], py - was[1]);
    if (pointers.size === 2) {
      const [a, b] = before, [c, d] = [...pointers.values()];
      const apart = Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
      zoom(Math.hypot(c[0] - d[0], c[1] - d[1]) / apart, (c[0] + d[0]) / 2, (c[1] + d[1]) / 2);
    } else if (travelled > 4) {
      view.x -= (px - was[0]) / view.scale;
      view.y -= (py - was[1]) / view.scale;
      canvas.classList.add("dragged");
      tell(-1);
    }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      const [px, py] = place(event);
      if (end === "pointerup" && pointers.size === 1 && travelled <= 4) choose(nearestTo(px, py, NEAR));
      pointers.delete(event.pointerId);
      canvas.classList.remove("dragged");
    });
  }
  canvas.addEventListener("pointerleave", () => { if (!pointers.size) tell(-1); });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const [px, py] = place(event);
    zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0016)), px, py);
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoom(2, ...place(event)));

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60 / view.scale;
    const does = {
      ArrowLeft: () => { view.x -= step; draw(); }, ArrowRight: () => { view.x += step; draw(); },
      ArrowUp: () => { view.y -= step; draw(); }, ArrowDown: () => { view.y += step; draw(); },
      "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: fit,
      Enter: () => choose(nearestTo(width / 2, height / 2, Math.max(width, height))),
      n: () => { if (chosen >= 0 && data.near) { const row = neighbours(chosen)[0]; choose(row); goTo(row); } },
    }[event.key];
    if (does) { event.preventDefault(); does(); }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type === "search";
    if (event.key === "/" && !typing) { event.preventDefault(); $("search").focus(); }
    if (event.key === "Escape") {
      if (typing && event.target.value) { event.target.value = ""; search(""); } else choose(-1);
    }
  });

  $("search").addEventListener("input", (event) => search(event.target.value));
  $("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && found && found.length) { choose(found[0]); goTo(found[0]); }
  });
  $("all").addEventListener("click", () => { only.clear(); pressed(); });
  $("in").addEventListener("click", () => zoom(1.6));
  $("out").addEventListener("click", () => zoom(1 / 1.6));
  $("whole").addEventListener("click", fit);
  $("close").addEventListener("click", () => choose(-1));
  $("names").addEventListener("change", (event) => { names = event.target.checked; draw(); });
  for (const radio of document.querySelectorAll('input[name="method"]')) {
    radio.addEventListener("change", () => { if (radio.checked) change(radio.value); });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readLook(); legend(); draw(); });

  $("names-line").hidden = !(brief || (data.label && data.labels.length > 1 && data.labels.length <= RANK));
  readLook();
  buildGrid();
  legend();
  new ResizeObserver(resize).observe(canvas);
  resize();
  document.documentElement.dataset.state = "drawn";
})();
