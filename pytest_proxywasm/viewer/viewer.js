"use strict";
// Everything from the data becomes text nodes; nothing is parsed as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const make = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const failed = (call) => call.s !== "" && call.s !== "OK" && call.s !== "SUCCESS";

  // Theme.
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const setTheme = (isDark) => { root.dataset.theme = isDark ? "dark" : "light"; };
  setTheme(dark.matches);
  dark.addEventListener("change", (event) => setTheme(event.matches));
  const switchTheme = () => setTheme(root.dataset.theme !== "dark");

  // The top.
  document.title = `${data.title} · Proxy-Wasm trace`;
  $("title").textContent = data.title;
  const calls = data.events.reduce((sum, event) => sum + event.h.length, 0);
  $("counts").textContent = [
    plural(data.exchanges.length, "exchange"), plural(data.events.length, "callback"), plural(calls, "hostcall"),
    plural(data.logs, "log message"),
  ].join(", ");
  if (data.error) {
    $("error").hidden = false;
    $("error").firstElementChild.textContent = data.error;
  }

  // Exchanges.
  const fields = (entries, className) => {
    const list = make("dl", className);
    for (const [name, text, hex] of entries) {
      const isMap = typeof text !== "string";
      const value = make("dd", "mono", isMap ? undefined : text);
      if (isMap) value.append(fields(text, "fields map"));
      if (hex !== undefined) value.append(make("span", "hex", hex));
      const pair = make("div", isMap || hex !== undefined || text.length > 60 ? "long" : "");
      pair.append(make("dt", "mono", name), value);
      list.append(pair);
    }
    return list;
  };
  const message = (title, one) => {
    const box = make("div");
    box.append(make("h3", "", title));
    if (one === null) {
      box.append(make("p", "none", "nothing"));
      return box;
    }
    const rows = [...one.headers];
    if (one.body) rows.push(["body", ...one.body]);
    for (const [name, value] of one.trailers) rows.push([`${name} (trailer)`, value]);
    box.append(fields(rows, ""));
    return box;
  };
  const changes = (title, rows) => {
    const box = make("div");
    box.append(make("h3", "", title));
    if (rows === null || rows.length === 0) {
      box.append(make("p", "none", rows === null ? "they never left the filters" : "unchanged"));
      return box;
    }
    const list = make("ul");
    for (const [sign, name, value] of rows)
      list.append(make("li", `mono ${sign === "+" ? "added" : "removed"}`, `${sign} ${name}: ${value}`));
    box.append(list);
    return box;
  };
  const status = (one) => {
    const style = one.status !== null && one.status < 400 ? "good" : "bad";
    return make("span", `badge ${style}`, one.status === null ? "no response" : String(one.status));
  };
  for (const one of data.exchanges) {
    const box = make("details", "exchange");
    const summary = make("summary");
    summary.append(make("span", "mono", one.title));
    summary.append(status(one));
    if (one.reply) summary.append(make("span", "badge warn", "answered by a filter"));
    summary.append(make("span", "none", one.details ? `${one.outcome}, ${one.details}` : one.outcome));
    box.append(summary);
    box.addEventListener("toggle", () => {
      if (box.childElementCount > 1) return;
      const path = make("div", "path");
      path.append(
        message("The client sent", one.request), message("The upstream got", one.upstream_request),
        message("The upstream answered", one.upstream_response), message("The client got", one.response),
      );
      const diffs = make("div", "diffs");
      diffs.append(
        changes("Request headers, changed by the filters", one.request_changes),
        changes("Response headers, changed by the filters", one.response_changes),
      );
      box.append(diffs, path);
    });
    $("exchange-list").append(box);
    $("exchanges").hidden = false;
  }
  const last = $("exchange-list").lastElementChild;
  if (last) last.open = true;

  // Lanes. A filter may be called "host": lanes have keys, and labels only to be seen.
  const workers = new Set(data.events.map((event) => event.w));
  const label = (event) => (event.f || "filter") + (workers.size > 1 ? ` (worker ${event.w})` : "");
  const key = (event) => `filter ${label(event)}`;
  const lanes = new Map([["client", "client"]]);
  for (const event of data.events) lanes.set(key(event), label(event));
  lanes.set("host", "host services").set("upstream", "upstream");
  if (data.events.some((event) => [event, ...event.h].some((one) => one.l === "clusters"))) lanes.set("clusters", "clusters");
  root.style.setProperty("--lanes", lanes.size);
  const at = new Map([...lanes.keys()].map((lane, index) => [lane, ((index + 0.5) / lanes.size) * 100]));
  $("lanes").append(make("span", "", "time"));
  for (const text of lanes.values()) {
    const lane = make("span", "", text);
    lane.title = text;
    $("lanes").append(lane);
  }

  // In a chain, what the client sends comes to a filter from the one before it, what the upstream sends from the one after.
  const chains = new Map([...workers].map((worker) => [worker, []]));
  for (const event of data.events) {
    const chain = chains.get(event.w);
    if (/_on_(request_headers|new_connection)$/.test(event.n) && !chain.includes(key(event))) chain.push(key(event));
  }
  const origin = (event) => {
    const chain = chains.get(event.w), place = chain.indexOf(key(event));
    if (place < 0) return event.l;
    if (event.l === "client") return chain[place - 1] || "client";
    if (event.l === "upstream" || (event.l === "host" && /_on_response_/.test(event.n))) return chain[place + 1] || event.l;
    return event.l;
  };

  // Events.
  const time = (ms) => {
    if (ms === null) return "";
    return ms < 1000 ? `${+ms.toFixed(3)} ms` : `${+(ms / 1000).toFixed(3)} s`;
  };
  const searchable = (event) => {
    const words = [event.n, event.r, event.f, `context=${event.c}`, event.a];
    for (const call of event.h) words.push(call.n, call.s, call.y || "", call.a, call.r);
    return words.flat(Infinity).join(" ").toLowerCase();
  };
  const detail = (event) => {
    const box = make("div", "detail");
    box.append(fields([["context", String(event.c)], ...event.a, ["returned", event.r]], "fields"));
    if (event.h.length === 0) box.append(make("p", "none", "no hostcall"));
    const list = make("ul", "calls");
    for (const call of event.h) {
      const item = make("li", `call ${call.s === "" ? "" : failed(call) ? "failed" : "ok"}`);
      const head = make("header");
      head.append(make("strong", "mono", call.n));
      if (call.s) head.append(make("span", `badge ${failed(call) ? "bad" : "good"}`, call.s));
      if (call.i) head.append(make("span", "badge warn", "injected by the test"));
      head.append(make("span", "to", call.w ? "WASI" : `to ${call.l}`));
      item.append(head);
      if (call.a.length) item.append(fields(call.a, "fields"));
      if (call.r.length) item.append(fields(call.r, "fields results"));
      if (call.y) item.append(make("p", "reason", call.y));
      list.append(item);
    }
    box.append(list);
    return box;
  };
  const draw = (stage, from, to, name) => {
    const left = Math.min(at.get(from), at.get(to)), right = Math.max(at.get(from), at.get(to));
    const arrow = make("span", `arrow ${at.get(from) < at.get(to) ? "right" : "left"}`);
    arrow.style.left = `${left}%`;
    arrow.style.width = `${right - left}%`;
    // The name begins where the arrow begins, unless there is no room to the right.
    if (left > 60) name.style.right = `${100 - right}%`;
    else name.style.left = `${left}%`;
    stage.append(arrow, name);
  };

  // Of the hostcalls of a callback that is closed, those that leave the proxy, that failed, and logs.
  const NOTES = 6, LOGS = 1000;
  const weight = (call) => {
    if (call.w) return failed(call) && call.y ? 2 : 0;
    if (call.l !== "host" || failed(call) || call.i || call.y) return 2;
    if (call.n !== "proxy_log" || !call.o) return 0;
    if (/^(warn|error|critical)/.test(call.o)) return 2;
    return data.events.length <= LOGS ? 1 : 0;
  };
  const notes = (event) => {
    const all = event.h.filter((call) => weight(call) > 0);
    if (all.length === 0) return null;
    const kept = new Set([...all].sort((one, other) => weight(other) - weight(one)).slice(0, NOTES));
    const box = make("div", "notes");
    for (const call of kept.size < all.length ? all.filter((one) => kept.has(one)) : all) {
      const isLog = call.n === "proxy_log" && !failed(call);
      const bad = failed(call) || (isLog && /^(error|critical)/.test(call.o));
      const style = bad ? "bad" : isLog && /^warn/.test(call.o) ? "warn" : "";
      const stage = make("div", `stage note ${style}`);
      const text = isLog ? call.o : [call.n.replace(/^proxy_/, ""), call.o, call.s === "OK" ? "" : call.s].filter(Boolean).join(" ");
      const name = make("span", "name mono", text);
      if (isLog || call.l === "host") {
        name.style.left = `${at.get(key(event))}%`;
        stage.append(name);
      } else draw(stage, key(event), call.l, name);
      box.append(stage);
    }
    if (kept.size < all.length) {
      const stage = make("div", "stage note");
      const name = make("span", "name none", `and ${all.length - kept.size} more`);
      name.style.left = `${at.get(key(event))}%`;
      stage.append(name);
      box.append(stage);
    }
    return box;
  };
  const PIECE = 250;
  const rows = data.events.map((event, index) => ({
    event, index, item: null, button: null, text: null, fits: true, open: false,
    errors: event.h.some(failed) || event.r === "did not return",
  }));
  const build = (row) => {
    const { event, index } = row;
    const item = make("li", "event");
    for (const number of event.x || []) {
      const begin = make("div", "begin");
      begin.append(make("span", "mono", data.exchanges[number].title), status(data.exchanges[number]));
      item.append(begin);
    }
    const button = make("button", "row");
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.append(make("span", "time", time(event.t)));
    const stage = make("span", "stage");
    draw(stage, origin(event), key(event), make("span", "name mono", event.n.replace(/^proxy_/, "")));
    const result = make("span", "result");
    const errors = event.h.filter(failed).length;
    if (event.h.length) result.append(make("span", "badge", plural(event.h.length, "call")));
    if (errors) result.append(make("span", "badge bad", plural(errors, "error")));
    if (event.r !== "done" && event.r !== "true" && event.r !== "CONTINUE") {
      const style = event.r === "did not return" || event.r === "false" ? "bad" : "warn";
      result.append(make("span", `badge ${style}`, event.r));
    }
    button.append(stage, result);
    item.append(button);
    const below = notes(event);
    if (below !== null) {
      below.addEventListener("click", () => toggle(row));
      item.append(below);
    }
    button.addEventListener("click", () => toggle(row));
    button.addEventListener("focus", () => { current = index; });
    Object.assign(row, { item, button });
    if (row.open) show(row);
    return item;
  };
  let current = -1;
  const toggle = (row, open = !row.open) => {
    if (open === row.open) return;
    row.open = open;
    if (row.item) show(row);
  };
  const show = (row) => {
    row.button.setAttribute("aria-expanded", String(row.open));
    if (row.open) row.item.append(detail(row.event));
    else row.item.lastElementChild.remove();
  };

  // Rows that do not fit are taken out: to hide thousands one by one takes seconds of layout. A long trace is placed
  // piece by piece, so that its beginning is there at once.
  let fitting = [], placed = 0, timer = 0;
  const placeMore = () => {
    const piece = document.createDocumentFragment();
    for (const row of fitting.slice(placed, placed + PIECE)) piece.append(row.item || build(row));
    placed += PIECE;
    $("events").append(piece);
    if (placed < fitting.length) timer = setTimeout(placeMore);
    else root.dataset.complete = "";
  };
  const place = () => {
    clearTimeout(timer);
    delete root.dataset.complete;
    placed = 0;
    $("events").replaceChildren();
    placeMore();
  };
  const isPlaced = (row) => row.item !== null && row.item.isConnected;

  // Filters.
  const names = new Map();
  for (const event of data.events) for (const call of event.h) names.set(call.n, (names.get(call.n) || 0) + 1);
  for (const [name, count] of [...names].sort()) {
    const option = make("option", "", `${name} (${count})`);
    option.value = name;
    $("hostcall").append(option);
  }
  const apply = () => {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const call = $("hostcall").value, onlyErrors = $("failed").checked;
    for (const row of rows) {
      if (words.length && row.text === null) row.text = searchable(row.event);
      row.fits = words.every((word) => row.text.includes(word))
        && (!call || row.event.h.some((one) => one.n === call)) && (!onlyErrors || row.errors);
    }
    fitting = rows.filter((row) => row.fits);
    place();
    const shown = fitting.length;
    $("shown").textContent = shown === data.events.length ? "" : `${shown} of ${plural(data.events.length, "callback")}`;
    $("nothing").hidden = shown > 0;
  };
  $("search").addEventListener("input", apply);
  $("hostcall").addEventListener("change", apply);
  $("failed").addEventListener("change", apply);
  $("expand").addEventListener("click", () => {
    const open = fitting.some((row) => !row.open);
    for (const row of fitting) toggle(row, open);
    $("expand").textContent = open ? "Close all" : "Open all";
  });

  // Keys.
  const move = (step, fits) => {
    for (let next = current + step; next >= 0 && next < rows.length; next += step) {
      if (!rows[next].fits || !fits(rows[next])) continue;
      current = next;
      while (!isPlaced(rows[next])) {
        clearTimeout(timer);
        placeMore();
      }
      rows[next].button.focus();
      rows[next].item.scrollIntoView({ block: "nearest" });
      return;
    }
  };
  $("theme").addEventListener("click", switchTheme);
  $("help-button").addEventListener("click", () => $("help").showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    const typing = event.target.matches("input[type=search], select");
    if (event.key === "Escape" && typing) event.target.blur();
    if (typing) return;
    const keys = {
      j: () => move(1, () => true), k: () => move(-1, () => true), n: () => move(1, (row) => row.errors),
      "/": () => $("search").focus(), t: switchTheme, "?": () => $("help").showModal(),
    };
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });

  apply();
  // What went wrong is open.
  const wrong = rows.filter((row) => row.event.r === "did not return").pop();
  if (wrong) toggle(wrong, true);
})();
