"use strict";
// A chooser and a plot, or two side by side under one camera, for all groups of surfaces, in the element of class "surfaces".
(() => {
  const groups = JSON.parse(document.getElementById("surface-data").textContent);
  const host = document.querySelector(".surfaces");
  const dark = matchMedia("(prefers-color-scheme: dark)"), touch = matchMedia("(pointer: coarse)");
  const test = document.createElement("canvas");
  if (!(test.getContext("webgl2") || test.getContext("webgl"))) {
    host.textContent = "This browser has no WebGL: see the figures instead.";
    return;
  }
  const element = (name, className, parent) => {
    const made = document.createElement(name);
    made.className = className;
    parent.append(made);
    return made;
  };
  const sides = element("div", "sides", host);
  const told = element("p", "readout", host);
  told.textContent = "Point at a surface to read its value.";
  // Two where there is room and something to compare.
  const count = groups.some(group => group.views.length > 1) && host.clientWidth >= 720 ? 2 : 1;
  const panes = Array.from({ length: count }, (_, i) => {
    const pane = element("div", "pane", sides);
    const label = element("label", "", pane), chooser = document.createElement("select");
    label.append("Surface ", chooser);
    groups.forEach((group, g) => {
      const list = groups.length > 1 ? document.createElement("optgroup") : chooser;
      group.views.forEach((view, v) => list.append(new Option(view.title, `${g} ${v}`)));
      if (list !== chooser) { list.label = group.title; chooser.append(list); }
    });
    return { chooser, plot: element("div", "plot", pane) };
  });
  // The first of two is the first surface; the second the same mask of the next model where titles say so.
  if (count > 1) {
    const views = groups[0].views, after = title => title.split(": ").slice(1).join(": ");
    const partner = views.findIndex((view, v) => v > 0 && after(view.title) === after(views[0].title));
    panes[1].chooser.value = `0 ${Math.max(partner, 1) % views.length}`;
  }
  const chosen = pane => {
    const [g, v] = pane.chooser.value.split(" ").map(Number);
    return { group: groups[g], view: groups[g].views[v] };
  };
  const draw = pane => {
    const { group, view } = chosen(pane);
    const ink = dark.matches ? "#e6e6e6" : "#1b1b1b", grid = dark.matches ? "#444" : "#ccc";
    const axis = title => ({ title: { text: title }, color: ink, gridcolor: grid, zerolinecolor: grid });
    // Further away where the plot is narrow, so that nothing is cut.
    // From high enough that the front corner does not hide the middle.
    const far = pane.plot.clientWidth < 500 ? 1.5 : 1.15, eye = { x: 0.8 * far, y: far, z: 1.25 * far };
    const error = view.se ? " ± %{customdata:.2g}" : "";
    const trace = {
      type: "surface", x: view.x, y: view.y, z: view.z, customdata: view.se, cmin: group.low, cmax: group.high, colorscale: "Viridis",
      colorbar: { title: { text: group.label, side: "top" }, tickfont: { color: ink }, orientation: "h", y: 0, thickness: 10, len: 0.6 },
      contours: { z: { show: true, usecolormap: true, project: { z: true } } },
      hovertemplate: `a %{x:.3f}<br>b %{y:.3f}<br>${group.what} %{z:.4f}${error}<extra></extra>`,
    };
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)", font: { color: ink }, margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: "same view",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: ink, activecolor: ink },
      scene: {
        xaxis: axis("direction x (a)"), yaxis: axis("direction y (b)"), zaxis: { ...axis(group.what), range: [group.low, group.high] },
        aspectratio: { x: 1, y: 1, z: 0.8 }, domain: { y: [0.14, 1] }, camera: { eye },
      },
    };
    // Marks stand a little above the surface, or it would hide half of each.
    const lift = 0.03 * (group.high - group.low);
    // A model lies where its surface is darkest.
    const words = group.what === "rise" ? "#fff" : ink;
    const marked = (marks, mode, size) => ({
      type: "scatter3d", mode, ...marks, z: marks.z.map(z => z === null ? null : z + lift), showlegend: false,
      textposition: "top center", textfont: { color: words }, line: { color: ink, width: 4 },
      marker: { color: "#fff", size, line: { color: "#000", width: 2 } },
      hovertemplate: "%{text}<br>a %{x:.3f}<br>b %{y:.3f}<extra></extra>",
    });
    const traces = [trace];
    if (view.marks) {
      const { points, path, line } = view.marks;
      traces.push({ ...marked(line, "lines"), hoverinfo: "skip", hovertemplate: null });
      traces.push(marked(path, "markers", 3), marked(points, "markers+text", 6));
    }
    return Plotly.react(pane.plot, traces, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["tableRotation"] });
  };
  const nearest = (values, at) => values.reduce((best, v, i) => Math.abs(v - at) < Math.abs(values[best] - at) ? i : best, 0);
  // What both surfaces are at a point.
  const tell = ({ x, y }) => {
    const value = pane => {
      const { group, view } = chosen(pane);
      const i = nearest(view.x, x), j = nearest(view.y, y), z = view.z[j][i];
      const error = view.se && view.se[j][i] !== null ? ` ± ${view.se[j][i].toPrecision(2)}` : "";
      return `${view.title}: ${group.what} ${z === null ? "not finite" : z.toFixed(4) + error}`;
    };
    told.textContent = `a ${x.toFixed(3)}, b ${y.toFixed(3)} · ${panes.map(value).join(" · ")}`;
  };
  const begin = async () => {
    const library = document.createElement("script");
    library.textContent = document.getElementById("plotly").textContent;
    document.head.append(library);
    await Promise.all(panes.map(draw));
    panes.forEach(pane => {
      const others = panes.filter(other => other !== pane);
      pane.chooser.addEventListener("change", () => draw(pane));
      dark.addEventListener("change", () => draw(pane));
      pane.plot.on("plotly_hover", event => tell(event.points[0]));
      // One camera: what is turned here is turned there, and not back.
      const follow = event => {
        const camera = event["scene.camera"];
        if (camera) others.forEach(other => {
          const own = other.plot.layout.scene.camera;
          if (JSON.stringify(own) !== JSON.stringify(camera)) Plotly.relayout(other.plot, { "scene.camera": camera });
        });
      };
      ["plotly_relayouting", "plotly_relayout"].forEach(name => pane.plot.on(name, follow));
      new ResizeObserver(() => Plotly.Plots.resize(pane.plot)).observe(pane.plot);
    });
  };
  const start = () => {
    // Not before it is seen: that takes seconds.
    const seen = new IntersectionObserver(entries => {
      if (entries.some(entry => entry.isIntersecting)) { seen.disconnect(); begin(); }
    });
    seen.observe(sides);
  };
  if (!touch.matches) { start(); return; }
  // A finger that scrolls the page must not be caught.
  sides.hidden = told.hidden = true;
  const button = element("button", "", host);
  button.type = "button";
  button.textContent = "Show a surface to rotate";
  button.addEventListener("click", () => { button.remove(); sides.hidden = told.hidden = false; start(); });
})();
