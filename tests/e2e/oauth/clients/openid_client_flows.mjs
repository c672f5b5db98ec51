// npm openid-client and jose as their users use them; the protocol with the test is that of authlib_flows.py.
import { createInterface } from "node:readline";
import * as jose from "jose";
import * as client from "openid-client";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const given = JSON.parse((await lines.next()).value);
// The server of the test listens on this machine only, without TLS.
const options = { algorithm: "oauth2", execute: [client.allowInsecureRequests] };
const discover = (id, authentication) =>
  client.discovery(new URL(given.site), id, undefined, authentication, options);
const refusal = async (promise) => {
  try {
    await promise;
    return "taken";
  } catch (error) {
    return error.error ?? String(error);
  }
};

const open = await discover(given.public, client.None());
const authorized = async () => {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const address = client.buildAuthorizationUrl(open, {
    redirect_uri: given.redirect_uri,
    scope: "customers.read",
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
  });
  console.log(JSON.stringify({ visit: address.href }));
  const back = new URL((await lines.next()).value);
  // Checks state, and iss as RFC 9207 says since the metadata announces it.
  const token = await client.authorizationCodeGrant(open, back, { pkceCodeVerifier: verifier, expectedState: state });
  return { verifier, state, back, token };
};
const { verifier, state, back, token } = await authorized();
const forged = new URL(back);
forged.searchParams.set("iss", "https://evil.example");
const mixed = await refusal(
  client.authorizationCodeGrant(open, forged, { pkceCodeVerifier: verifier, expectedState: state }),
);
const about = open.serverMetadata();
const keys = jose.createRemoteJWKSet(new URL(about.jwks_uri));
const read = await jose.jwtVerify(token.access_token, keys, {
  issuer: about.issuer, audience: "cohortlens", typ: "at+jwt", algorithms: ["EdDSA"],
});
const customers = new URL(`${given.site}/api/v1/customers?pageSize=1`);
const called = await client.fetchProtectedResource(open, token.access_token, customers, "GET");
const second = await client.refreshTokenGrant(open, token.refresh_token);
const third = await client.refreshTokenGrant(open, second.refresh_token);
const reused = await refusal(client.refreshTokenGrant(open, token.refresh_token));
const afterReuse = await refusal(client.refreshTokenGrant(open, third.refresh_token));

// What is left after a token of a person was revoked.
const ended = async (kind) => {
  const { token: one } = await authorized();
  await client.tokenRevocation(open, one[kind], { token_type_hint: kind });
  const answer = await fetch(customers, { headers: { authorization: `Bearer ${one.access_token}` } });
  return [answer.status, await refusal(client.refreshTokenGrant(open, one.refresh_token))];
};
const endedByAccess = await ended("access_token");
const endedByRefresh = await ended("refresh_token");

const secret = await discover(given.confidential, client.ClientSecretBasic(given.secret));
const own = await client.clientCredentialsGrant(secret, { scope: "customers.read" });
const before = await client.tokenIntrospection(secret, own.access_token);

const key = await jose.importJWK(given.private_jwk, given.alg);
const signing = await discover(given.signing, client.PrivateKeyJwt({ key, kid: given.kid }));
const signed = await client.clientCredentialsGrant(signing, {});
const signedBefore = await client.tokenIntrospection(signing, signed.access_token);
await client.tokenRevocation(signing, signed.access_token, { token_type_hint: "access_token" });
const signedAfter = await client.tokenIntrospection(signing, signed.access_token);
await client.tokenRevocation(signing, "unknown");

console.log(JSON.stringify({
  done: {
    typ: read.protectedHeader.typ, claims: read.payload, scope: token.scope, called: called.status,
    rotated: new Set([token.refresh_token, second.refresh_token, third.refresh_token]).size,
    reused, after_reuse: afterReuse, mixed,
    own_scope: own.scope, own_refresh: "refresh_token" in own, introspected: before, signed_scope: signed.scope,
    signed_before: signedBefore.active, signed_after: signedAfter,
    ended_by_access: endedByAccess, ended_by_refresh: endedByRefresh,
  },
}));
process.exit(0);
