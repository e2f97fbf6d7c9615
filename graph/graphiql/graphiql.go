// Package graphiql serves GraphiQL from this binary: nothing is loaded from
// elsewhere, so that it works without a network and tells nobody.
//
// dist/ holds files of npm packages as they were published (dist/README.md says
// which); index.html and app.js are ours.
package graphiql

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed index.html app.js dist
var files embed.FS

// Handler serves the page at prefix ("/graphiql") and what it needs below it. The
// page asks at endpoint, an absolute path, and presents key: whoever can load the
// page has the key, so it is for a demo on one's own machine.
func Handler(prefix, endpoint, key string) http.Handler {
	var b bytes.Buffer
	// An embedded page with three words in it: that it fails would be a bug that
	// every test shows.
	page := template.Must(template.ParseFS(files, "index.html"))
	if err := page.Execute(&b, map[string]string{"Prefix": prefix, "Endpoint": endpoint, "Key": key}); err != nil {
		panic(err)
	}
	index := b.Bytes()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the methods are GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		name := strings.Trim(strings.TrimPrefix(r.URL.Path, prefix), "/")
		if name == "" {
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("Cache-Control", "no-store")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(index))
			return
		}
		if name != "app.js" {
			name = "dist/" + name
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		switch path.Ext(name) { // not by the machine's table of types
		case ".js":
			h.Set("Content-Type", "text/javascript; charset=utf-8")
		case ".css":
			h.Set("Content-Type", "text/css; charset=utf-8")
		default:
			h.Set("Content-Type", "text/plain; charset=utf-8")
		}
		h.Set("Cache-Control", "max-age=3600")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
}
