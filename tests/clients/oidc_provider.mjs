// A real OpenID provider (oidc-provider) on loopback for test_oauth.py: NODE_PATH-less, told where the
// package lies. Prints READY when it listens; ends with its standard input.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [, , modules, port] = process.argv;
const found = createRequire(`${modules}/x.js`).resolve("oidc-provider");
const { default: Provider } = await import(pathToFileURL(found));

const issuer = `http://localhost:${port}`;
const mail = (format, seconds) => ({
  scope: "mail", audience: "restante", accessTokenFormat: format, accessTokenTTL: seconds,
  ...(format === "jwt" ? { jwt: { sign: { alg: "RS256" } } } : {}),
});
const client = (id) => ({
  client_id: id, client_secret: `secret of ${id}`, grant_types: ["client_credentials"],
  redirect_uris: [], response_types: [],
});
const provider = new Provider(issuer, {
  clients: ["ada@example.org", "eve@example.org", "restante"].map(client),
  scopes: ["mail", "other"],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: async (ctx, client) => client.clientId === "restante" },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: async (ctx, resource) => ({
        "urn:jwt": mail("jwt", 300),
        "urn:short": mail("jwt", 1),
        "urn:opaque": mail("opaque", 300),
        "urn:elsewhere": { ...mail("jwt", 300), audience: "elsewhere" },
        "urn:narrow": { ...mail("jwt", 300), scope: "other" },
      })[resource],
    },
  },
});
provider.listen(Number(port), "127.0.0.1", () => console.log("READY"));
process.stdin.on("end", () => process.exit(0)).resume();
