// Issues and verifies credentials with the libraries of Digital Bazaar, without a network: one JSON request a
// line on standard input, one JSON answer a line on standard output.
import {createInterface} from 'node:readline';
import * as vc from '@digitalbazaar/vc';
import {DataIntegrityProof} from '@digitalbazaar/data-integrity';
import * as Ed25519Multikey from '@digitalbazaar/ed25519-multikey';
import * as jcs from '@digitalbazaar/eddsa-jcs-2022-cryptosuite';
import * as rdfc from '@digitalbazaar/eddsa-rdfc-2022-cryptosuite';
import {checkStatus} from '@digitalbazaar/vc-bitstring-status-list';
import * as credentials from '@digitalbazaar/credentials-context';
import * as integrity from '@digitalbazaar/data-integrity-context';
import * as multikey from '@digitalbazaar/multikey-context';

const known = new Map([credentials, integrity, multikey].flatMap(
  one => [...(one.contexts ?? one.default.contexts)]));
const suites = {
  'eddsa-rdfc-2022': {sign: rdfc.cryptosuite, verify: rdfc.cryptosuite},
  'eddsa-jcs-2022': {sign: jcs.createSignCryptosuite?.(), verify: jcs.createVerifyCryptosuite?.()},
};

function loader(lists) {
  return async url => {
    const document = known.get(url) ?? lists[url] ?? resolved(url);
    if(!document) {
      throw new Error(`not at hand: ${url}`);
    }
    return {contextUrl: null, documentUrl: url, document};
  };
}

function resolved(url) {
  const [did, fragment] = url.split('#');
  if(!did.startsWith('did:key:')) {
    return null;
  }
  const key = did.slice('did:key:'.length);
  const method = {
    '@context': 'https://w3id.org/security/multikey/v1',
    id: `${did}#${key}`, type: 'Multikey', controller: did, publicKeyMultibase: key
  };
  return fragment ? method : {
    '@context': ['https://www.w3.org/ns/did/v1'], id: did, verificationMethod: [method],
    assertionMethod: [method.id]
  };
}

async function issue({credential, suite: name}) {
  const key = await Ed25519Multikey.generate();
  const {publicKeyMultibase} = await key.export({publicKey: true});
  const did = `did:key:${publicKeyMultibase}`;
  key.id = `${did}#${publicKeyMultibase}`;
  key.controller = did;
  const suite = new DataIntegrityProof({signer: key.signer(), cryptosuite: suites[name].sign});
  return vc.issue({credential: {...credential, issuer: did}, suite, documentLoader: loader({})});
}

async function verify({credential, suite: name, lists, withStatus}) {
  const documentLoader = loader(lists ?? {});
  const suite = new DataIntegrityProof({cryptosuite: suites[name].verify});
  // The list itself is always eddsa-rdfc-2022.
  const listSuite = new DataIntegrityProof({cryptosuite: rdfc.cryptosuite});
  const check = async options => {
    if(!withStatus) {
      return {verified: true};
    }
    const read = await checkStatus({
      ...options, suite: listSuite, documentLoader, verifyBitstringStatusListCredential: true
    });
    // `verified` says that the list could be read; what it says of the credential stands in the results.
    return {...read, verified: read.verified && !read.results.some(one => one.status)};
  };
  const found = await vc.verifyCredential({credential, suite, documentLoader, checkStatus: check});
  return {verified: found.verified, error: found.error ? String(found.error.errors ?? found.error) : ''};
}

for await (const line of createInterface({input: process.stdin})) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = {value: await {issue, verify}[request.does](request)};
  } catch(error) {
    answer = {fault: error.stack};
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
