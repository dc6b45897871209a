// Prisma's query engine as the server that its client for Python asks: the engine is the WASM build that the client for Node
// has, since the native one is in no registry of packages. Here its GraphQL becomes the JSON that this build speaks.
const http = require("http"), fs = require("fs"), path = require("path");
const { parse } = require("graphql");
const { Pool } = require("pg");
const { PrismaPg } = require("@prisma/adapter-pg");
const { bindAdapter } = require("@prisma/driver-adapter-utils");
const runtime = require("@prisma/client/runtime/query_engine_bg.postgresql.js");
const wasm = fs.readFileSync(path.join(path.dirname(require.resolve("@prisma/client/package.json")), "runtime/query_engine_bg.postgresql.wasm"));
const ACTIONS = ["findUniqueOrThrow","findUnique","findFirstOrThrow","findFirst","findMany","createOne","createManyAndReturn","createMany","updateOne","updateMany","upsertOne","deleteOne","deleteMany","aggregate","groupBy","queryRaw","executeRaw","runCommandRaw"];
function literal(v) {
  switch (v.kind) {
    case "IntValue": { const n = Number(v.value); return Number.isSafeInteger(n) ? n : { $type: "BigInt", value: v.value }; }
    case "FloatValue": return Number(v.value);
    case "StringValue": case "EnumValue": return v.value;
    case "BooleanValue": return v.value;
    case "NullValue": return null;
    case "ListValue": return v.values.map(literal);
    case "ObjectValue": return Object.fromEntries(v.fields.map(f => [f.name.value, literal(f.value)]));
  }
  throw new Error("kind " + v.kind);
}
// Text for a field of JSON is JSON in GraphQL, and a string in this protocol.
const jsonFields = {};
function readJsonFields(datamodel) {
  for (const [, model, body] of datamodel.matchAll(/^model (\w+) \{([\s\S]*?)^\}/gm)) jsonFields[model] = new Set([...body.matchAll(/^\s+(\w+)\s+Json/gm)].map(it => it[1]));
}
function tagged(value, fields) {
  if (Array.isArray(value)) return value.map(it => tagged(it, fields));
  if (!value || typeof value !== "object" || "$type" in value) return value;
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, fields.has(key) && typeof it === "string" ? { $type: "Json", value: it } : tagged(it, fields)]));
}
const args = field => Object.fromEntries((field.arguments || []).map(a => [a.name.value, literal(a.value)]));
function selection(set) {
  const out = {};
  for (const f of set ? set.selections : []) out[f.name.value] = f.selectionSet || (f.arguments || []).length ? { arguments: args(f), selection: selection(f.selectionSet) } : true;
  return out;
}
function translated(query) {
  // The driver of Node knows no array of PostgreSQL's type `name`.
  const field = parse(query.replace("ARRAY_AGG(viewname)", "ARRAY_AGG(viewname::text)")).definitions[0].selectionSet.selections[0];
  const name = field.name.value, action = ACTIONS.find(a => name.startsWith(a));
  const modelName = name.slice(action.length) || undefined;
  return { name, alias: field.alias ? field.alias.value : name, body: { modelName, action, query: { arguments: tagged(args(field), jsonFields[modelName] || new Set()), selection: selection(field.selectionSet) } } };
}
function untagged(v) {
  if (Array.isArray(v)) return v.map(untagged);
  if (v && typeof v === "object") {
    if ("$type" in v) return v.value;
    return Object.fromEntries(Object.entries(v).map(([k, it]) => [k, untagged(it)]));
  }
  return v;
}
async function main() {
  const port = Number(process.argv[process.argv.indexOf("-p") + 1]);
  const url = process.env.DATABASE_URL;
  const pool = new Pool({ connectionString: url.split("?")[0] });
  const adapter = bindAdapter(new PrismaPg(pool));
  const instance = new WebAssembly.Instance(new WebAssembly.Module(wasm), { "./query_engine_bg.js": runtime });
  runtime.__wbg_set_wasm(instance.exports);
  const datamodel = fs.readFileSync(process.env.PRISMA_DML_PATH, "utf8");
  readJsonFields(datamodel);
  const engine = new runtime.QueryEngine({ datamodel, env: process.env, logQueries: false, ignoreEnvVarErrors: true, datasourceOverrides: {}, logLevel: "error", configDir: ".", engineProtocol: "json" }, () => {}, adapter);
  await engine.connect("{}");
  async function one(query, tx) {
    const t = translated(query);
    const said = JSON.parse(await engine.query(JSON.stringify(t.body), "{}", tx));
    if (said.errors) return said;
    const value = said.data[Object.keys(said.data)[0]];
    const isRaw = t.body.action.endsWith("Raw");
    return { data: { [t.alias]: isRaw ? rawRows(value) : untagged(value) } };
  }
  function rawRows(v) {
    if (!v || !v.rows) return v;
    const parsed = (cell, type) => typeof cell === "string" && type === "json" ? JSON.parse(cell) : cell;
    return { ...v, rows: v.rows.map(row => row.map((cell, i) => parsed(cell, v.types[i]))) };
  }
  http.createServer(async (req, res) => {
    let body = ""; for await (const piece of req) body += piece;
    const tx = req.headers["x-transaction-id"];
    const send = (v, s = 200) => { const t = JSON.stringify(v); res.writeHead(s, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(t) }); res.end(t); };
    try {
      if (req.url === "/status") return send({ status: "ok" });
      if (req.url.startsWith("/metrics")) return send({ counters: [], gauges: [], histograms: [] });
      if (req.url === "/transaction/start") return send(JSON.parse(await engine.startTransaction(body, "{}")));
      let m = req.url.match(/^\/transaction\/([^/]+)\/(commit|rollback)$/);
      if (m) return send(JSON.parse(await (m[2] === "commit" ? engine.commitTransaction(m[1], "{}") : engine.rollbackTransaction(m[1], "{}")) || "{}"));
      const asked = JSON.parse(body);
      if (asked.batch) {
        const results = [];
        for (const it of asked.batch) results.push(await one(it.query, tx));
        return send({ batchResult: results });
      }
      send(await one(asked.query, tx));
    } catch (error) {
        send({ errors: [{ error: String(error), user_facing_error: { is_panic: false, message: String(error), backtrace: null } }] });
    }
  }).listen(port, "localhost");
  process.on("SIGINT", () => process.exit(0));
}
main().catch(e => { console.error(e); process.exit(1); });
