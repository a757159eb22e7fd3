// Puts the page together: loads the client, asks for a name, and runs one connection
// at a time.

import { Chat } from "./chat.js";
import { clientInstalled, loadClient } from "./client.js";
import { Connection } from "./connection.js";
import { $, h, setText } from "./dom.js";
import { Line } from "./line.js";
import { Messages } from "./messages.js";
import { Tap } from "./tap.js";
import { WirePane } from "./wire.js";

const ASK_AGAIN = 2000;
const SUGGESTIONS = ["Auk", "Barnacle", "Cormorant", "Cuttle", "Dulse", "Eider", "Fulmar", "Gannet", "Kittiwake", "Limpet", "Mussel", "Otter", "Petrel", "Puffin", "Skua", "Tern", "Urchin", "Whelk"];

const tap = new Tap({ greeting: "welcome" });
const line = new Line();
const messages = new Messages();
new WirePane(tap);

let client = null;
let connection = null;
let chat = null;
let unread = 0;
let wanted = null;

// Per window, so that two windows are two people; the key lets this window, and no
// other, have its name back after a lost connection or a reload.
const remembered = {
  get(field) {
    try {
      return sessionStorage.getItem(`holdfast.${field}`);
    } catch {
      return null;
    }
  },
  set(field, value) {
    try {
      if (value === null) sessionStorage.removeItem(`holdfast.${field}`);
      else sessionStorage.setItem(`holdfast.${field}`, value);
    } catch {
      // storage is blocked: a reload then asks for the name again
    }
  },
};

function key() {
  let value = remembered.get("key") ?? key.value;
  if (!value) {
    value = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
    key.value = value;
    remembered.set("key", value);
  }
  return value;
}

// Connecting and leaving

function join(name) {
  connection?.close();
  setText($("join-error"), "");
  $("join").setAttribute("aria-busy", "true");
  connection = new Connection(client, tap, { name, key: key(), transport: $("transport").value });
  chat = new Chat(connection, messages, name);
  chat.addEventListener("heard", heard);
  connection.addEventListener("change", (event) => changed(event.target, event.detail, name));
  line.follow(connection, tap);
  line.me(name);
  connection.open();
  controls();
}

function changed(from, { state }, name) {
  if (from !== connection) return;
  if (state === "online") {
    const focus = !$("join").hidden;
    $("join").hidden = true;
    $("join").setAttribute("aria-busy", "false");
    $("talk").hidden = false;
    $("leave").hidden = false;
    remembered.set("name", name);
    messages.toBottom();
    if (focus) $("text").focus();
  }
  if (state === "refused") {
    const reason = connection.refusal.message;
    stop();
    setText($("join-error"), reason[0].toUpperCase() + reason.slice(1));
    $("name").focus();
    $("name").select();
  }
  notice(state);
  controls();
}

function stop() {
  connection?.close();
  chat?.end();
  connection = null;
  chat = null;
  $("join").hidden = false;
  $("join").setAttribute("aria-busy", "false");
  $("talk").hidden = true;
  $("leave").hidden = true;
  $("notice").hidden = true;
  line.idle("Not connected", "Choose a name to begin.");
  line.me("you");
  controls();
}

// What the page says when it can't help itself

function notice(state) {
  const box = $("notice");
  const show = (title, text, action, run) => {
    box.replaceChildren(h("h3", {}, title), h("p", {}, text), h("button", { type: "button", onclick: run }, action));
    box.hidden = false;
  };
  if (state === "gone" && box.dataset.state !== "gone") {
    show("The server does not answer", "This window keeps trying. What you write waits here and is sent when it is back.", "Try now", () => connection.resume());
  } else if (state === "replaced") {
    show("Another window took this name", "It was opened with the same session, by duplicating this tab for example.", "Take it back", () => connection.resume());
  } else if (state === "dismissed") {
    show("The server closed this connection", "It asked this window to stay away, so it does not come back by itself.", "Connect again", () => connection.resume());
  } else if (state !== "gone") {
    box.hidden = true;
  }
  box.dataset.state = state;
}

function controls() {
  const state = connection?.state;
  const away = state === "offline" || state === "gone" || state === "cut";
  $("cut").disabled = state !== "online";
  $("offline").disabled = !connection || !(state === "online" || away);
  setText($("offline"), state === "offline" ? "Come back" : "Go offline");
  $("transport").disabled = client === null;
}

$("cut").addEventListener("click", () => connection.cut());
$("offline").addEventListener("click", () => (connection.state === "offline" ? connection.resume() : connection.goOffline()));
$("transport").addEventListener("change", (event) => connection?.useTransport(event.target.value));
$("leave").addEventListener("click", () => {
  remembered.set("name", null);
  stop();
  messages.clear();
  $("name").focus();
});
// A window that closes has left; without this it would only be away. Should the browser
// bring it back as it was, it begins anew.
window.addEventListener("pagehide", () => connection?.close());
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
window.addEventListener("online", () => {
  if (connection && (connection.state === "gone" || connection.state === "cut")) connection.resume();
});

// Saying

$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("name").value.trim();
  if (!name) {
    setText($("join-error"), "A name is needed.");
    $("name").focus();
  } else if (!client) {
    wanted = name; // asked for before the client script was there: start() goes on with it
    $("join").setAttribute("aria-busy", "true");
  } else if ($("join").getAttribute("aria-busy") !== "true") {
    join(name);
  }
});

const text = $("text");

function grow() {
  if (CSS.supports("field-sizing", "content")) return;
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight + 2, 144)}px`;
}

function say() {
  const said = text.value.trim();
  if (!said || !chat) return;
  text.value = "";
  grow();
  chat.sendText(said);
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  say();
  text.focus();
});
text.addEventListener("keydown", (event) => {
  // isComposing: Enter then ends the word of an input method, not the message.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say();
});
text.addEventListener("input", () => {
  grow();
  if (text.value) chat?.typed();
  else chat?.stoppedTyping();
});

const sendImages = (files) => {
  for (const file of [...files].slice(0, 4)) chat?.sendImage(file);
};
$("image").addEventListener("change", (event) => {
  sendImages(event.target.files);
  event.target.value = "";
  text.focus();
});
text.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length === 0) return;
  event.preventDefault();
  sendImages(event.clipboardData.files);
});
const talk = $("talk");
talk.addEventListener("dragover", (event) => {
  event.preventDefault();
  talk.dataset.drop = "";
});
talk.addEventListener("dragleave", () => delete talk.dataset.drop);
talk.addEventListener("drop", (event) => {
  event.preventDefault();
  delete talk.dataset.drop;
  sendImages(event.dataTransfer.files);
});

// Two panes on a wide screen, one at a time on a narrow one

function show(view) {
  document.body.dataset.view = view;
  for (const button of document.querySelectorAll("[data-show]")) {
    button.setAttribute("aria-pressed", String(button.dataset.show === view));
  }
  if (view === "chat") {
    messages.toBottom();
    countUnread(0);
  }
}

for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => show(button.dataset.show));
}

function heard() {
  const inSight = !document.hidden && $("chat").checkVisibility?.() !== false;
  countUnread(inSight ? 0 : unread + 1);
}

function countUnread(n) {
  unread = n;
  document.title = n > 0 ? `(${n}) Holdfast` : "Holdfast: a line that holds";
  const badge = $("badge");
  badge.hidden = n === 0 || document.body.dataset.view === "chat";
  setText(badge, String(n));
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && document.body.dataset.view === "chat") countUnread(0);
});

// The beginning

async function start() {
  line.idle("Starting");
  controls();
  try {
    client = await loadClient();
  } catch (err) {
    unavailable(err.missing);
    return;
  }
  wanted ??= remembered.get("name");
  stop();
  if (wanted) {
    $("name").value = wanted;
    join(wanted);
  } else if ($("name").value === "") {
    $("name").value = SUGGESTIONS[Math.floor(Math.random() * SUGGESTIONS.length)];
    $("name").focus();
    $("name").select();
  }
}

function unavailable(missing) {
  $("join").hidden = true;
  const box = $("notice");
  box.hidden = false;
  if (missing) {
    line.idle("Not connected", "The server runs, but the Socket.IO client script is missing.");
    box.replaceChildren(
      h("h3", {}, "The client script is not installed"),
      h("p", {}, "This page uses the official Socket.IO client, which the server hands out from where npm put it. In the project's folder, run ", h("code", {}, "npm ci"), "."),
      h("p", {}, "This page goes on by itself as soon as the script is there."),
    );
  } else {
    line.gone("The server is gone", "The page was loaded, but the server does not answer any more.");
    box.replaceChildren(h("h3", {}, "The server does not answer"), h("p", {}, "This page goes on by itself as soon as it is back."));
  }
  // A failed import stays failed for the life of a page, so it is loaded anew.
  const asking = setInterval(async () => {
    const installed = await clientInstalled();
    if (installed) {
      clearInterval(asking);
      location.reload();
    } else if ((installed === false) !== missing) {
      clearInterval(asking);
      unavailable(installed === false);
    }
  }, ASK_AGAIN);
}

start();
