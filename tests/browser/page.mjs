// Opens pages that journalbench has written in headless Chromium, light and dark, on a phone and on a wide screen, as they are and
// with everything unfolded. Fails on what is wider than the window, on any request, on an error in the console, and on what axe-core
// finds against WCAG 2.1 A and AA, contrast among it.
//
//   journalbench report results/quick/results.json --format html -o target/quick.html
//   bash tests/browser/install.sh && cd tests/browser && npm run check -- ../../target/quick.html
//
// CHROMIUM names the browser where it is not /usr/bin/chromium.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const pages = process.argv.slice(2);
if (pages.length === 0) {
  console.error("name the pages to open");
  process.exit(2);
}
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"],
});
let failures = 0;
const fail = (where, what) => {
  failures += 1;
  console.error(`${where}: ${what}`);
};
for (const file of pages) {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [360, 1400]) {
      const where = `${file}, ${colorScheme}, ${width} pixels`;
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 } });
      const page = await context.newPage();
      page.on("console", (message) => message.type() === "error" && fail(where, message.text()));
      page.on("pageerror", (error) => fail(where, String(error)));
      page.on("request", (request) => request.url().startsWith("file:") || fail(where, `asks for ${request.url()}`));
      await page.goto(pathToFileURL(resolve(file)).href);
      const beyond = () =>
        page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      const folded = await beyond();
      await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
      const unfolded = await beyond();
      if (folded > 0 || unfolded > 0) fail(where, `${Math.max(folded, unfolded)} pixels too wide`);
      await page.evaluate(axe);
      const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }));
      for (const { id, nodes } of found.violations) fail(where, `${id}, ${nodes.length} times: ${nodes[0].html.slice(0, 200)}`);
      await context.close();
    }
  }
}
await browser.close();
console.log(`${pages.length} pages opened in 4 ways each, ${failures} failures`);
process.exit(failures === 0 ? 0 : 1);
