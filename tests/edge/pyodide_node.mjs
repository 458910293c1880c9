// Pyodide in Node, with folders of this machine mounted.
//
//   node pyodide_node.mjs PACKAGE PROGRAM.py [--mount HOST_FOLDER=FOLDER]... [ARGUMENT...]
//
// PACKAGE is a folder of node_modules. The program's `main(*arguments)` gives the exit status.
import { readFileSync } from "node:fs";

const [which, program, ...rest] = process.argv.slice(2);
const { loadPyodide } = await import(`./node_modules/${which}/pyodide.mjs`);
const python = await loadPyodide({ env: { PYTHONDONTWRITEBYTECODE: "1", HOME: "/tmp" } });
const passed = [];
while (rest.length) {
  const word = rest.shift();
  if (word !== "--mount") {
    passed.push(word);
    continue;
  }
  const [host, folder] = rest.shift().split("=");
  python.FS.mkdirTree(folder);
  python.mountNodeFS(folder, host);
}
python.runPython(readFileSync(program, "utf8"));
process.exitCode = await python.globals.get("main")(...passed);
