// Checks a webhook that Postern signed with Ed25519, with nothing but Node itself.
import { createPublicKey, verify as check } from "node:crypto";
import { readFileSync } from "node:fs";

const toleranceSeconds = 5 * 60;

// Checks the Standard Webhooks headers (lower case) of a request over its raw
// body. publicKey is one of the endpoint's, "whpk_...".
export function verify(publicKey: string, headers: Record<string, string>, body: Buffer): boolean {
  const x = Buffer.from(publicKey.replace(/^whpk_/, ""), "base64").toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const id = headers["webhook-id"] ?? "";
  const at = headers["webhook-timestamp"] ?? "";
  // Requests that are old may be replayed.
  if (!(Math.abs(Date.now() / 1000 - Number.parseInt(at, 10)) <= toleranceSeconds)) return false;
  const signed = Buffer.concat([Buffer.from(`${id}.${at}.`), body]);
  // While a key is being rotated there is one signature for each.
  return (headers["webhook-signature"] ?? "").split(" ").some((part: string) => {
    const [version, signature] = part.split(",", 2);
    return version === "v1a" && check(null, signed, key, Buffer.from(signature ?? "", "base64"));
  });
}

// The rest makes a program of it: {"headers": {...}, "body": base64} on standard
// input, the public key in WEBHOOK_PUBLIC_KEY.
const input = JSON.parse(readFileSync(0, "utf8"));
if (!verify(process.env.WEBHOOK_PUBLIC_KEY ?? "", input.headers, Buffer.from(input.body, "base64"))) {
  console.log("no signature matches");
  process.exit(1);
}
console.log("verified");
