// Opens every page in headless Chromium, wide and narrow, light and dark; prints what is wrong with each.
// stdin: {browser, site, pages, views: [[width, [scheme, …]], …], shots: folder or null}; one load a width.
import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";

const { browser: executablePath, site, pages, views, shots } = JSON.parse(readFileSync(0, "utf8"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const workers = Math.max(2, Math.min(4, availableParallelism()));
const outside = url => !url.startsWith(site) && !/^(data|blob|about):/.test(url);

// What a page says and asks for, from its loading on.
function listen(page, tell) {
  const words = text => `console error: ${text.slice(0, 200)}`;
  const short = request => request.url().replace(site, "");
  const known = text => text.startsWith("Failed to load resource");
  page.on("console", m => m.type() === "error" && !known(m.text()) && tell(words(m.text())));
  page.on("pageerror", e => tell(words(e.message)));
  page.on("request", r => outside(r.url()) && tell(`asks an outside host: ${r.url()}`));
  page.on("response", r => r.status() >= 400 && tell(`failed request (${r.status()}): ${short(r)}`));
  page.on("requestfailed", r => !outside(r.url()) && tell(`failed request: ${short(r)}`));
}

// The widest thing that sticks out of the screen, or nothing.
const overflow = () => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const root = [document.body, document.documentElement];
  const clipped = e => {
    for (e = e.parentElement; e; e = e.parentElement)
      if (getComputedStyle(e).overflowX !== "visible") return !root.includes(e);
  };
  const sticks = e => e.getBoundingClientRect().right > width + 1 && !clipped(e);
  const wide = [...document.body.querySelectorAll("*")].filter(sticks).pop();
  const named = e => `<${e.tagName.toLowerCase()}> ${JSON.stringify(e.textContent.trim().slice(0, 60))}`;
  const why = wide ? ` because of ${named(wide)}` : "";
  return [`wider than the screen: ${document.documentElement.scrollWidth} px${why}`];
};

// Which pictures around a slider are on show.
const frames = input => {
  let box = input.parentElement;
  while (box.parentElement && !box.querySelector("svg, img, canvas")) box = box.parentElement;
  const shown = e => (e.checkVisibility() ? e.getAttribute("src") || "shown" : "");
  return [...box.querySelectorAll("svg, img, canvas")].map(shown).join("|");
};

async function sliders(page) {
  const found = [];
  for (const input of await page.$$("input[type=range]")) {
    const before = await input.evaluate(frames);
    const top = await input.evaluate(i => i.value === i.max);
    const name = JSON.stringify(await input.evaluate(i => i.closest("label")?.textContent.trim() || i.id));
    await input.focus();
    await page.keyboard.press(top ? "ArrowLeft" : "ArrowRight");
    const after = await input.evaluate(frames);
    if (before === after) found.push(`slider ${name}: an arrow key changes no picture`);
  }
  return found;
}

async function sorting(page) {
  const found = [];
  for (const table of await page.$$(".sortable table")) {
    const button = await table.$("th button");
    if (button) await button.press("Enter");
    const sorted = await table.$("th[aria-sort=ascending]");
    if (!sorted) found.push("a sortable table has no column head that sorts by keyboard");
  }
  return found;
}

// Everything but colours that axe's rules go by: the document, and where each element is on show.
const layout = () => {
  const where = e => {
    const { x, y, width, height } = e.getBoundingClientRect();
    return [x, y, width, height, e.checkVisibility({ visibilityProperty: true })];
  };
  const places = [...document.querySelectorAll("body *")].map(where);
  const now = [document.documentElement.outerHTML, ...places].join();
  const same = window.layoutBefore === now;
  window.layoutBefore = now;
  return same;
};

// In a second scheme that moves and hides nothing, only the rules about colours can say anything new.
async function accessibility(page) {
  const rules = (await page.evaluate(layout)) ? ["color-contrast", "link-in-text-block"] : undefined;
  const run = runOnly => window.axe.run(document, { resultTypes: ["violations"], runOnly });
  const result = await page.evaluate(run, rules);
  const serious = result.violations.filter(v => v.impact === "serious" || v.impact === "critical");
  const first = v => v.nodes[0].html.replace(/\s+/g, " ").slice(0, 120);
  const contrast = v => (v.id === "color-contrast" ? ` (${v.nodes[0].any[0]?.message.slice(0, 110)})` : "");
  return serious.map(v => `axe: ${v.id}, ${v.nodes.length} times, first ${first(v)}${contrast(v)}`);
}

// Light and dark of one page at one width; what changes the page comes last.
async function look(page, name, width, schemes, tell) {
  const show = async scheme => {
    await page.emulateMedia({ colorScheme: scheme });
    tell.view = `${width} px ${scheme}`;
  };
  await page.setViewportSize({ width, height: width < 600 ? 844 : 900 });
  await show(schemes[0]);
  await page.goto(site + name, { waitUntil: "load" });
  await page.evaluate(() => document.fonts.ready);
  await page.evaluate(axe);
  for (const scheme of schemes) {
    await show(scheme);
    const path = `${shots}/${name.replaceAll("/", "-").replace(".html", "")}-${width}-${scheme}.png`;
    if (shots) await page.screenshot({ path, fullPage: true });
    for (const why of [...(await page.evaluate(overflow)), ...(await accessibility(page))]) tell(why);
  }
  for (const scheme of schemes) {
    await show(scheme);
    for (const why of await sliders(page)) tell(why);
  }
  for (const why of await sorting(page)) tell(why);
}

// Takes pages from the list until none is left; `tell` keeps what is said and under which view.
async function work(browser, left, said) {
  const context = await browser.newContext();
  context.setDefaultTimeout(120_000); // for a busy machine
  for (let name; (name = left.shift()); ) {
    const page = await context.newPage();
    const found = new Set();
    const tell = why => found.add(JSON.stringify([`${name}: ${why}`, tell.view]));
    const closed = error => tell(`does not open: ${error.message.split("\n")[0]}`);
    listen(page, tell);
    for (const [width, schemes] of views)
      await look(page, name, width, schemes, tell).catch(closed);
    await page.close();
    said.push(...[...found].map(line => JSON.parse(line)));
  }
}

const browser = await chromium.launch({ executablePath, args });
const left = [...pages], said = [];
await Promise.all(Array.from({ length: workers }, () => work(browser, left, said)));
await browser.close();
console.log(JSON.stringify(said));
