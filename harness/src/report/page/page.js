"use strict";
// A link to a check opens it, and printing opens everything that lost marks.
(function () {
  function open() {
    var there = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (var box = there; box; box = box.parentElement) {
      if (box.tagName === "DETAILS") box.open = true;
    }
    if (there) there.scrollIntoView();
  }
  addEventListener("hashchange", open);
  open();
})();

// Plays the terminals. Frames are rows of characters with class names: nothing in them is markup.
(function () {
  var WAIT = 2000;

  function make(tag, properties, parent) {
    var element = Object.assign(document.createElement(tag), properties);
    if (parent) parent.append(element);
    return element;
  }

  function clock(ms) {
    var seconds = ms / 1000;
    return Math.floor(seconds / 60) + ":" + (seconds % 60 < 10 ? "0" : "") + (seconds % 60).toFixed(1);
  }

  function player(box) {
    var chapters = Array.from(box.querySelectorAll(".chapter"));
    var player = make("div", { className: "player" });
    var bar = make("div", { className: "bar-of-buttons", role: "group", ariaLabel: "Replay" }, player);
    var which = make("select", { ariaLabel: "Command" }, bar);
    var play = make("button", { type: "button" }, bar);
    var seek = make("input", { type: "range", min: 0, value: 0, ariaLabel: "Position" }, bar);
    var time = make("output", {}, bar);
    var speed = make("select", { ariaLabel: "Speed" }, bar);
    var copy = make("button", { type: "button", textContent: "Copy" }, bar);
    var screen = make("pre", { className: "terminal film", tabIndex: 0, ariaLabel: "Screen", role: "group" }, player);
    var film, rows, at, timer;

    chapters.forEach(function (chapter, index) {
      make("option", { value: index, textContent: chapter.querySelector("summary").textContent.trim() }, which);
    });
    [1, 2, 4, 8].forEach(function (times) { make("option", { value: times, textContent: times + "×" }, speed); });

    function draw() {
      screen.replaceChildren();
      rows.forEach(function (row) {
        row.forEach(function (run) {
          if (run[0]) make("span", { className: run[0], textContent: run[1] }, screen);
          else screen.append(run[1]);
        });
        screen.append("\n");
      });
      seek.value = at;
      var ms = film.frames.length ? film.frames[at][0] : 0;
      time.textContent = clock(ms) + " / " + clock(film.length);
      seek.setAttribute("aria-valuetext", clock(ms));
    }

    function go(to) {
      if (to < at) reset();
      while (at < to) {
        var frame = film.frames[++at];
        for (var moved = 0; moved < frame[1]; moved++) rows.push(rows.shift() && []);
        frame[2].forEach(function (changed) { rows[changed[0]] = changed[1]; });
      }
      draw();
    }

    function reset() {
      at = -1;
      rows = Array.from({ length: 24 }, function () { return []; });
    }

    function load(index) {
      film = JSON.parse(chapters[index].querySelector("script").textContent);
      which.value = index;
      seek.max = Math.max(film.frames.length - 1, 0);
      reset();
      if (film.frames.length) go(0);
    }

    // The first command whose screen changed.
    function first() {
      var shows = chapters.findIndex(function (chapter) {
        return JSON.parse(chapter.querySelector("script").textContent).frames.length > 1;
      });
      return Math.max(shows, 0);
    }

    function stop() {
      clearTimeout(timer);
      timer = undefined;
      play.textContent = "Play";
    }

    function step() {
      if (at + 1 < film.frames.length) {
        var wait = Math.min(film.frames[at + 1][0] - film.frames[at][0], WAIT);
        timer = setTimeout(function () { go(at + 1); step(); }, wait / speed.value);
      } else if (+which.value + 1 < chapters.length) {
        timer = setTimeout(function () { load(+which.value + 1); step(); }, WAIT / speed.value);
      } else {
        stop();
      }
    }

    function toggle() {
      if (timer !== undefined) return stop();
      if (at + 1 >= film.frames.length && +which.value + 1 >= chapters.length) load(+which.value);
      play.textContent = "Pause";
      step();
    }

    play.addEventListener("click", toggle);
    seek.addEventListener("input", function () { stop(); go(+seek.value); });
    which.addEventListener("change", function () { stop(); load(+which.value); go(film.frames.length - 1); });
    screen.addEventListener("keydown", function (event) {
      if (event.key !== " ") return;
      event.preventDefault();
      toggle();
    });
    copy.addEventListener("click", function () {
      var range = document.createRange();
      range.selectNodeContents(screen);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      if (navigator.clipboard) navigator.clipboard.writeText(screen.textContent.trimEnd()).catch(function () {});
    });
    stop();
    load(first());
    box.querySelector(".chapters").before(player);
  }

  document.querySelectorAll(".replay").forEach(function (box) {
    box.addEventListener("toggle", function () {
      if (box.open && !box.querySelector(".player")) player(box);
    });
  });
})();
