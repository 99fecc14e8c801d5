"use strict";
const page = document.body.dataset.page;
const state = document.getElementById("state");
const log = document.getElementById("log");
const note = (text) => {
  const line = document.createElement("li");
  line.textContent = text;
  log.append(line);
};

if (page === "socket") {
  const socket = new WebSocket(new URL("echo", location.href.replace(/^http/, "ws")));
  socket.onopen = () => { state.textContent = "open"; };
  socket.onclose = () => { state.textContent = "closed"; };
  socket.onmessage = (event) => note(event.data);
  document.getElementById("say").onsubmit = (event) => {
    event.preventDefault();
    socket.send(new FormData(event.target).get("text"));
  };
}

if (page === "stream") {
  const events = new EventSource("ticks");
  events.onopen = () => { state.textContent = "open"; };
  events.onerror = () => { state.textContent = "interrupted"; };
  events.onmessage = (event) => note(event.data);
}

if (page === "home") {
  // A refresh happens behind everybody's back; here it can be watched.
  const left = document.getElementById("left");
  const life = document.getElementById("life");
  const renewed = document.getElementById("renewed");
  let ends = 0;
  let over = false;

  const json = async (url) => {
    const answer = await fetch(url, { headers: { accept: "application/json" } }).catch(() => null);
    if (answer?.status === 401) over = true;
    return answer?.ok ? answer.json() : null;
  };

  const compare = (fields) => {
    const now = new Map(fields);
    for (const row of document.querySelectorAll("#fields tr.identity")) {
      const value = now.get(row.cells[0].textContent);
      const cell = row.cells[1];
      if (value === undefined || value === cell.textContent) continue;
      cell.textContent = value;
      row.classList.remove("changed");
      void row.offsetWidth; // Begins the animation anew.
      row.classList.add("changed");
    }
  };

  const look = async () => {
    // First a request that passes through the gateway: that is where it renews what is due.
    const fields = await json("headers.json");
    if (fields) compare(fields);
    const session = await json(document.body.dataset.session);
    if (!session) return;
    ends = Date.parse(session.access_expires_at);
    renewed.textContent = session.refreshes === 1 ? "once" : `${session.refreshes} times`;
    life.max = Math.max(life.max, Math.round((ends - Date.now()) / 1000));
    document.getElementById("token").hidden = false;
  };

  const tick = () => {
    const seconds = Math.max(0, Math.round((ends - Date.now()) / 1000));
    left.textContent = over ? "Your session has ended. Reload this page to sign in again." : `Ends in ${seconds} seconds`;
    life.value = over ? 0 : seconds;
  };

  const turn = async (count) => {
    if (count % 3 === 0) await look();
    if (ends) tick();
    if (!over) setTimeout(turn, 1000, count + 1);
  };
  turn(0);
}
