// Compiles RewardToken.sol to artifact.json; with --check it compares instead and writes nothing.
// The artifact holds what the sidecar needs at run time, so neither node nor a compiler is needed there.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const solc = require("solc");

const SOURCE = "RewardToken.sol";
const SETTINGS = {
  optimizer: { enabled: true, runs: 10000 },
  evmVersion: "cancun",
  outputSelection: {
    "*": { RewardToken: ["abi", "evm.bytecode.object", "evm.deployedBytecode"] },
  },
};

function read(path) {
  const file = path.startsWith("@") ? join(here, "node_modules", path) : join(here, path);
  return readFileSync(file, "utf8");
}

function compiled() {
  const input = { language: "Solidity", sources: { [SOURCE]: { content: read(SOURCE) } }, settings: SETTINGS };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: (path) => ({ contents: read(path) }) }));
  if (output.errors?.length) {
    throw new Error(output.errors.map((error) => error.formattedMessage).join("\n"));
  }
  return output.contracts[SOURCE].RewardToken;
}

function artifact() {
  const contract = compiled();
  const { outputSelection, ...settings } = SETTINGS;
  const openzeppelin = JSON.parse(read("@openzeppelin/contracts/package.json")).version;
  const immutables = Object.values(contract.evm.deployedBytecode.immutableReferences)
    .flat()
    .sort((a, b) => a.start - b.start);
  return {
    contract: "RewardToken",
    source: SOURCE,
    sourceSha256: createHash("sha256").update(readFileSync(join(here, SOURCE))).digest("hex"),
    compiler: solc.version(),
    openzeppelin,
    settings,
    abi: contract.abi,
    bytecode: contract.evm.bytecode.object,
    runtime: contract.evm.deployedBytecode.object,
    immutables,
  };
}

const made = artifact();
const target = join(here, "artifact.json");
if (process.argv.includes("--check")) {
  const committed = JSON.parse(readFileSync(target, "utf8"));
  const different = Object.keys(made).filter((key) => JSON.stringify(made[key]) !== JSON.stringify(committed[key]));
  if (different.length) {
    console.error(`contract-check: artifact.json differs in ${different.join(", ")}; next: npm run compile`);
    process.exit(1);
  }
  const bytes = made.runtime.length / 2;
  console.log(`contract-check: ${made.compiler}, OpenZeppelin ${made.openzeppelin}: ${bytes} bytes of runtime are equal`);
} else {
  const members = Object.entries(made).map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  writeFileSync(target, `{\n${members.join(",\n")}\n}\n`);
  console.log(`${target}: ${made.runtime.length / 2} bytes of runtime`);
}
