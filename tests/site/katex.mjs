// Reads [{page, tex, display}, …] on stdin; prints what strict KaTeX says of each formula that it refuses.
import katex from "katex";
import { readFileSync } from "node:fs";

const refusal = ({ page, tex, display }) => {
  try {
    katex.renderToString(tex, { displayMode: display, throwOnError: true, strict: "error" });
    return [];
  } catch (error) {
    const why = error.message.replace("KaTeX parse error: ", "").split("\n")[0].slice(0, 160);
    return [`${page}: KaTeX refuses ${JSON.stringify(tex)}: ${why}`];
  }
};
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).flatMap(refusal)));
