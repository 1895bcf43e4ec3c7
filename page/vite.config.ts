import { defineConfig } from "vite";

// Everything that the page needs is in the files built here: no script, style or font from elsewhere, and nothing inline, so that
// a strict content security policy holds (server/page.py).
export default defineConfig({
  base: "/",
  build: {
    outDir: "../src/vicino/server/page",
    emptyOutDir: true,
    assetsDir: "assets",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: "es2022",
  },
  server: {
    host: "127.0.0.1",
    proxy: { "/api": "http://127.0.0.1:8765", "/v1": "http://127.0.0.1:8765", "/ready": "http://127.0.0.1:8765" },
  },
});
