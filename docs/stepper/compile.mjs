// Compiles Python's standard library for the browser, by Python for the browser: only the same version can.
// Usage: node compile.mjs FOLDER, where node_modules/pyodide of the folder is Pyodide; writes FOLDER/python_stdlib.zip.
//
// Pyodide ships sources, and starting Python compiles what it imports: that takes longer than all the rest of starting.

import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const folder = resolve(process.argv[2]);
const pyodideFolder = join(folder, "node_modules/pyodide");
const { loadPyodide } = await import(pathToFileURL(join(pyodideFolder, "pyodide.mjs")));
const pyodide = await loadPyodide({ indexURL: pyodideFolder });

pyodide.FS.writeFile("/source.zip", readFileSync(join(pyodideFolder, "python_stdlib.zip")));
pyodide.runPython(`
import importlib.util
import zipfile
from importlib._bootstrap_external import _code_to_timestamp_pyc

with zipfile.ZipFile("/source.zip") as source, zipfile.ZipFile("/compiled.zip", "w", zipfile.ZIP_DEFLATED) as target:
    for entry in source.infolist():
        data = source.read(entry)
        name = entry.filename
        if name.endswith(".py"):
            # A time of 0 and no source beside it: taken as it is.
            data = _code_to_timestamp_pyc(compile(data, name, "exec", dont_inherit=True))
            name += "c"
        target.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
`);
writeFileSync(join(folder, "python_stdlib.zip"), pyodide.FS.readFile("/compiled.zip"));
