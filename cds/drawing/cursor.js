// One line across all curves and lanes of a drawing, moved by pointer or by ← and →, and what stands on its day in words.
// The drawing is whole without it.
"use strict";

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const DAY = 86400000;
  const days = (text) => Math.round(Date.parse(`${text}T00:00:00Z`) / DAY);
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const named = (day) => {
    const date = new Date(day * DAY);
    return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  };

  // Places across and days, each into the other: in proportion, but for the folded stretches.
  function scale(data) {
    const folds = JSON.parse(data.folds || "[]");
    const stops = [[days(data.first), Number(data.left)]];
    for (const fold of folds) {
      stops.push([days(fold.from), fold.left], [days(fold.to), fold.right]);
    }
    stops.push([days(data.last), Number(data.right)]);
    const between = (value, from, to) => {
      const end = stops.findIndex((stop, number) => number > 0 && (value <= stop[from] || number === stops.length - 1));
      const [one, other] = [stops[end - 1], stops[end]];
      const share = other[from] === one[from] ? 0 : (value - one[from]) / (other[from] - one[from]);
      return one[to] + Math.min(Math.max(share, 0), 1) * (other[to] - one[to]);
    };
    return { at: (day) => between(day, 0, 1), day: (place) => Math.round(between(place, 1, 0)) };
  }

  function items(svg, first, last) {
    return [...svg.querySelectorAll("g.c-item")].map((group) => {
      const start = group.dataset.day ? days(group.dataset.day) : first;
      const lasts = group.dataset.end !== undefined || !group.dataset.day;
      const end = group.dataset.end ? days(group.dataset.end) : lasts ? last : start;
      return { start, end, lasts, words: group.querySelector("title")?.textContent ?? "" };
    });
  }

  function follow(svg) {
    const plot = svg.querySelector(".c-plot");
    if (!plot) return;
    const { first, last, top, bottom, start } = plot.dataset;
    const places = scale(plot.dataset);
    const known = items(svg, days(first), days(last));
    const stops = [...new Set(known.filter((one) => !one.lasts).map((one) => one.start))].sort((a, b) => a - b);
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("class", "c-cursor-line");
    line.setAttribute("visibility", "hidden");
    svg.append(line);
    const output = document.createElement("output");
    output.className = "c-cursor";
    output.setAttribute("aria-live", "polite");
    svg.after(output);
    let now = null;

    function show(day) {
      if (day === now) return;
      now = day;
      const place = places.at(day).toFixed(2);
      line.setAttribute("d", `M${place} ${top}V${bottom}`);
      line.setAttribute("visibility", "visible");
      const since = start ? `, day ${day - days(start)}` : "";
      const here = known.filter((one) => one.start <= day && day <= one.end).map((one) => one.words);
      output.textContent = [`${named(day)}${since}`, ...(here.length ? here : ["nothing recorded on this day"])].join(" · ");
    }

    function hide() {
      now = null;
      line.setAttribute("visibility", "hidden");
      output.textContent = "";
    }

    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const place = ((event.clientX - box.left) * svg.viewBox.baseVal.width) / box.width;
      const inside = place >= Number(plot.dataset.left) && place <= Number(plot.dataset.right);
      if (!inside) return hide();
      const day = places.day(place);
      const near = stops.find((stop) => Math.abs(places.at(stop) - place) <= 5);
      show(near ?? day);
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);

    // The arrows go from one result or event to the next; with Shift, day by day.
    svg.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") return hide();
      if (!way || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const from = now ?? (way > 0 ? days(first) - 1 : days(last) + 1);
      const next = way > 0 ? stops.find((stop) => stop > from) : stops.filter((stop) => stop < from).pop();
      const day = event.shiftKey ? from + way : (next ?? from);
      show(Math.min(Math.max(day, days(first)), days(last)));
    });
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight");
  }

  document.querySelectorAll("svg.c-course").forEach(follow);
  // A page that has drawn anew says in which element.
  document.addEventListener("drawn", (event) => event.detail.querySelectorAll("svg.c-course").forEach(follow));
})();
