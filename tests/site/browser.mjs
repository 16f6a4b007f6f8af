// Opens every page in headless Chromium, wide and narrow, light and dark; prints what is wrong with each.
// stdin: {browser, site, pages, views: [[width, scheme], …], shots: folder or null}
import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { browser: executablePath, site, pages, views, shots } = JSON.parse(readFileSync(0, "utf8"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const outside = url => !url.startsWith(site) && !/^(data|blob|about):/.test(url);

// What a page says and asks for while it loads.
function listen(page, found) {
  page.on("console", m => m.type() === "error" && !m.text().startsWith("Failed to load resource") && found.push(`console error: ${m.text().slice(0, 200)}`));
  page.on("pageerror", e => found.push(`console error: ${e.message.slice(0, 200)}`));
  page.on("request", r => outside(r.url()) && found.push(`asks an outside host: ${r.url()}`));
  page.on("response", r => r.status() >= 400 && found.push(`failed request (${r.status()}): ${r.url().replace(site, "")}`));
  page.on("requestfailed", r => !outside(r.url()) && found.push(`failed request: ${r.url().replace(site, "")}`));
}

// The widest thing that sticks out of the screen, or nothing.
const overflow = () => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const clipped = e => { for (e = e.parentElement; e; e = e.parentElement) if (getComputedStyle(e).overflowX !== "visible") return e !== document.body && e !== document.documentElement; };
  const wide = [...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > width + 1 && !clipped(e)).pop();
  return [`wider than the screen: ${document.documentElement.scrollWidth} px${wide ? ` because of <${wide.tagName.toLowerCase()}> ${JSON.stringify(wide.textContent.trim().slice(0, 60))}` : ""}`];
};

// Which pictures around a slider are on show.
const frames = input => {
  let box = input.parentElement;
  while (box.parentElement && !box.querySelector("svg, img, canvas")) box = box.parentElement;
  return [...box.querySelectorAll("svg, img, canvas")].map(e => (e.checkVisibility() ? e.getAttribute("src") || "shown" : "")).join("|");
};

async function sliders(page) {
  const found = [];
  for (const input of await page.$$("input[type=range]")) {
    const [before, top, name] = [await input.evaluate(frames), await input.evaluate(i => i.value === i.max), await input.evaluate(i => i.closest("label")?.textContent.trim() || i.id)];
    await input.focus();
    await page.keyboard.press(top ? "ArrowLeft" : "ArrowRight");
    if (before === (await input.evaluate(frames))) found.push(`slider ${JSON.stringify(name)}: an arrow key changes no picture`);
  }
  return found;
}

async function sorting(page) {
  const found = [];
  for (const table of await page.$$(".sortable table")) {
    const button = await table.$("th button");
    if (button) await button.press("Enter");
    if (!(await table.$("th[aria-sort=ascending]"))) found.push("a sortable table has no column head that sorts by keyboard");
  }
  return found;
}

async function accessibility(page) {
  await page.evaluate(axe);
  const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = result.violations.filter(v => v.impact === "serious" || v.impact === "critical");
  return serious.map(v => `axe: ${v.id}, ${v.nodes.length} times, first ${v.nodes[0].html.replace(/\s+/g, " ").slice(0, 120)}${v.id === "color-contrast" ? ` (${v.nodes[0].any[0]?.message.slice(0, 110)})` : ""}`);
}

async function look(page, name, width, scheme) {
  await page.goto(site + name, { waitUntil: "load" });
  await page.evaluate(() => document.fonts.ready);
  if (shots) await page.screenshot({ path: `${shots}/${name.replaceAll("/", "-").replace(".html", "")}-${width}-${scheme}.png`, fullPage: true });
  return [...(await page.evaluate(overflow)), ...(await accessibility(page)), ...(await sliders(page)), ...(await sorting(page))];
}

async function view(browser, width, scheme) {
  const context = await browser.newContext({ viewport: { width, height: width < 600 ? 844 : 900 }, colorScheme: scheme }), said = [];
  for (const name of pages) {
    const page = await context.newPage(), found = [];
    listen(page, found);
    found.push(...(await look(page, name, width, scheme).catch(e => [`does not open: ${e.message.split("\n")[0]}`])));
    said.push(...[...new Set(found)].map(why => [`${name}: ${why}`, `${width} px ${scheme}`]));
    await page.close();
  }
  await context.close();
  return said;
}

const browser = await chromium.launch({ executablePath, args });
const said = await Promise.all(views.map(([width, scheme]) => view(browser, width, scheme)));
await browser.close();
console.log(JSON.stringify(said.flat()));
