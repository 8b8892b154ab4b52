// Opens pages in headless Chromium, from the disk: pictures in three widths and two themes, and
// what axe-core says.
// Called by tests/browser.rs: look.mjs MODULES FOLDER PAGE... Prints one JSON object for each page.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import fs from "node:fs";
import path from "node:path";

const [modules, folder, ...pages] = process.argv.slice(2);
const require = createRequire(path.join(modules, "/"));
const puppeteer = require("puppeteer-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
for (const file of pages) {
  const tab = await browser.newPage();
  const seen = { page: file, requests: [], errors: [], violations: [], dialogs: 0, wide: [] };
  tab.on("request", (request) => {
    if (!request.url().startsWith("file:") || request.resourceType() !== "document") seen.requests.push(request.url());
  });
  tab.on("dialog", (dialog) => { seen.dialogs += 1; dialog.dismiss(); });
  tab.on("pageerror", (error) => seen.errors.push(String(error)));
  tab.on("console", (message) => { if (message.type() === "error") seen.errors.push(message.text()); });
  const began = performance.now();
  await tab.goto(pathToFileURL(file), { waitUntil: "load" });
  seen.milliseconds = performance.now() - began;
  seen.title = await tab.title();
  const name = path.basename(path.dirname(file));
  for (const theme of ["light", "dark"]) {
    await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
    for (const width of [360, 800, 1280]) {
      await tab.setViewport({ width, height: 900 });
      const across = await tab.evaluate(() => document.documentElement.scrollWidth);
      if (across > width) seen.wide.push(`${theme} ${width}: ${across}`);
      await tab.screenshot({ path: path.join(folder, `${name}-${theme}-${width}.png`), captureBeyondViewport: false });
      if (process.env.WHOLE) {
        await tab.screenshot({ path: path.join(folder, `${name}-${theme}-${width}-whole.png`), fullPage: true });
      }
    }
    await tab.evaluate(() => document.querySelectorAll("details").forEach((box) => { box.open = true; }));
    await tab.evaluate(axe);
    const told = await tab.evaluate(() => axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    }));
    for (const violation of told.violations) {
      const nodes = violation.nodes.slice(0, 3).map((node) => node.html.slice(0, 160));
      seen.violations.push(`${theme} ${violation.id} (${violation.nodes.length}): ${nodes.join(" | ")}`);
    }
    await tab.evaluate(() => document.querySelectorAll("details").forEach((box) => { box.open = false; }));
  }
  // A film plays with the keyboard alone.
  seen.played = await tab.evaluate(async () => {
    const box = document.querySelector(".replay");
    if (!box) return "nothing to play";
    box.open = true;
    await new Promise((done) => setTimeout(done, 100));
    const screen = box.querySelector(".film");
    if (box.querySelector("input[type=range]").max === "0") return "nothing to play";
    box.querySelector("select[aria-label=Speed]").value = "8";
    screen.focus();
    const before = screen.textContent;
    screen.dispatchEvent(new KeyboardEvent("keydown", { key: " ", bubbles: true }));
    await new Promise((done) => setTimeout(done, 2500));
    return screen.textContent === before ? "the screen stands still" : "plays";
  });
  console.log(JSON.stringify(seen));
  await tab.close();
}
await browser.close();
