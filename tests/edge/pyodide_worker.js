// Pyodide, as npm has it, in a plain JavaScript worker inside workerd: the way to run Python on the real runtime
// without the bundle that `python_workers` downloads. Its files come in as modules of this worker, none is changed.
//
// POST /NAME with a JSON object calls `await scenes.NAME(**object)` and answers with its JSON.
// GET /NAME with an Upgrade hands one end of a WebSocketPair to `scenes.answer_upgrade`.
import { loadPyodide } from "pyodide.mjs";
import createPyodideModule from "pyodide.asm.mjs";
import wasm from "pyodide.asm.wasm";
import stdlib from "python_stdlib.zip";
import lockFile from "pyodide-lock.json";
import bundle from "bundle.zip";

const HOME = "https://pyodide.invalid/";
let booting;

// What loadPyodide would read from a folder comes from the modules above.
const files = { "python_stdlib.zip": () => stdlib, "pyodide.asm.wasm": () => new ArrayBuffer(0) };

async function withFiles(work) {
  const real = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const url = String(input instanceof Request ? input.url : input);
    return url.startsWith(HOME) ? new Response(files[url.slice(HOME.length)]()) : real(input, init);
  };
  globalThis.location ??= new URL(HOME);
  try {
    return await work();
  } finally {
    globalThis.fetch = real;
  }
}

// workerd compiles no WebAssembly at run time: the module was compiled when the worker was loaded.
function moduleFrom(settings) {
  const marker = Symbol("error");
  settings.instantiateWasm = (imports, done) => {
    imports.env.Jsv_GetError_import = () => marker;
    imports.env.JsvError_Check = (value) => value === marker;
    done(new WebAssembly.Instance(wasm, imports), wasm);
    return {};
  };
  return createPyodideModule(settings);
}

async function boot() {
  const started = Date.now();
  const python = await withFiles(() =>
    loadPyodide({
      indexURL: HOME,
      lockFileContents: JSON.stringify(lockFile),
      createPyodideModule: moduleFrom,
      enableRunUntilComplete: false,
    }),
  );
  python.unpackArchive(bundle, "zip", { extractDir: "/bundle" });
  python.runPython("import sys; sys.path.insert(0, '/bundle')");
  return { python, scenes: python.pyimport("scenes"), bootMs: Date.now() - started };
}

export default {
  async fetch(request) {
    booting ??= boot();
    const { scenes, bootMs } = await booting;
    try {
      const url = new URL(request.url);
      if (request.headers.get("Upgrade") === "websocket") {
        const [client, server] = Object.values(new WebSocketPair());
        const asked = url.searchParams;
        await scenes.answer_upgrade(server, url.pathname.slice(1), asked.get("url"), asked.get("key"));
        return new Response(null, { status: 101, webSocket: client });
      }
      const answer = await scenes.play(url.pathname.slice(1), await request.text());
      return new Response(answer, { headers: { "content-type": "application/json", "x-boot-ms": String(bootMs) } });
    } catch (error) {
      return new Response(String(error.stack ?? error), { status: 500 });
    }
  },
};
