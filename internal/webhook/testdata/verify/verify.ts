// Checks a webhook of Postern with nothing but Node itself.
import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

const toleranceSeconds = 5 * 60;

// Checks the Standard Webhooks headers (lower case) of a request over its raw
// body. secret is the endpoint's, "whsec_...".
export function verify(secret: string, headers: Record<string, string>, body: Buffer): boolean {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const id = headers["webhook-id"] ?? "";
  const at = headers["webhook-timestamp"] ?? "";
  if (!fresh(at)) return false;
  const want = createHmac("sha256", key).update(`${id}.${at}.`).update(body).digest("base64");
  // While a secret is being rotated there is one signature for each key.
  return (headers["webhook-signature"] ?? "").split(" ").some((got: string) => equal(got, `v1,${want}`));
}

// Checks the Postern-Signature header, "t=...,v1=...,v1=...".
export function verifyPostern(secret: string, headers: Record<string, string>, body: Buffer): boolean {
  const parts = (headers["postern-signature"] ?? "").split(",");
  const at = parts.find((part: string) => part.startsWith("t="))?.slice(2) ?? "";
  if (!fresh(at)) return false;
  const want = createHmac("sha256", secret).update(`${at}.`).update(body).digest("hex");
  return parts.some((part: string) => equal(part, `v1=${want}`));
}

// Refuses requests that are old, and so may be replayed.
function fresh(timestamp: string): boolean {
  const seconds = Number.parseInt(timestamp, 10);
  return Math.abs(Date.now() / 1000 - seconds) <= toleranceSeconds;
}

function equal(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}

// The rest makes a program of it: {"headers": {...}, "body": base64} on standard
// input, the secret in WEBHOOK_SECRET.
const input = JSON.parse(readFileSync(0, "utf8"));
const secret = process.env.WEBHOOK_SECRET ?? "";
const raw = Buffer.from(input.body, "base64");
if (!verify(secret, input.headers, raw) || !verifyPostern(secret, input.headers, raw)) {
  console.log("no signature matches");
  process.exit(1);
}
console.log("verified");
