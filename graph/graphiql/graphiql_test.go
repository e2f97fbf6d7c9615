package graphiql

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// TestPageLoadsEverythingFromHere follows what the page refers to.
func TestPageLoadsEverythingFromHere(t *testing.T) {
	h := Handler("/graphiql", "/graphql", `key"><script>`)
	for _, path := range []string{"/graphiql", "/graphiql/"} {
		w := get(t, h, path)
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	w := get(t, h, "/graphiql")
	page := w.Body.String()
	if !strings.Contains(page, `data-key="key&#34;&gt;&lt;script&gt;"`) || !strings.Contains(page, `data-endpoint="/graphql"`) {
		t.Error("key and endpoint are not filled in as text")
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "http") || strings.Contains(policy, "unsafe-eval") {
		t.Errorf("policy %q lets something in from elsewhere", policy)
	}
	types := map[string]string{".js": "text/javascript", ".css": "text/css"}
	refs := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(refs) != 6 {
		t.Errorf("the page refers to %d files", len(refs))
	}
	for _, ref := range refs {
		if ref[1] == "data:," {
			continue
		}
		if !strings.HasPrefix(ref[1], "/graphiql/") {
			t.Errorf("%s is elsewhere", ref[1])
		}
		w := get(t, h, ref[1])
		if w.Code != 200 || w.Body.Len() == 0 || !strings.HasPrefix(w.Header().Get("Content-Type"), types[path.Ext(ref[1])]) {
			t.Errorf("%s: %d, %d bytes, %v", ref[1], w.Code, w.Body.Len(), w.Header())
		}
	}
	// A style sheet could ask for more.
	for _, m := range regexp.MustCompile(`url\(([^)]{0,40})|@import`).FindAllStringSubmatch(get(t, h, "/graphiql/graphiql.min.css").Body.String(), -1) {
		if !strings.HasPrefix(strings.Trim(m[1], `"'`), "data:") {
			t.Errorf("the style sheet asks for %s", m[0])
		}
	}
	for _, path := range []string{"/graphiql/nothing.js", "/graphiql/../graphiql.go", "/graphiql/dist", "/graphiql/index.html"} {
		if w := get(t, h, path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	post := httptest.NewRecorder()
	h.ServeHTTP(post, httptest.NewRequest(http.MethodPost, "/graphiql", nil))
	if post.Code != 405 {
		t.Errorf("POST: %d", post.Code)
	}
}

// TestFilesAreThePublishedOnes compares with the sums in dist/README.md, which
// anybody can compare with the packages.
func TestFilesAreThePublishedOnes(t *testing.T) {
	readme, err := fs.ReadFile(files, "dist/README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\S+\.(?:js|css)) \| .* \| ([0-9a-f]{64}) \|$`).FindAllStringSubmatch(string(readme), -1)
	listed := map[string]bool{}
	for _, row := range rows {
		content, err := fs.ReadFile(files, "dist/"+row[1])
		if err != nil {
			t.Error(err)
			continue
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != row[2] {
			t.Errorf("%s is not what the package holds", row[1])
		}
		listed[row[1]] = true
	}
	entries, err := fs.ReadDir(files, "dist")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if ext := path.Ext(e.Name()); (ext == ".js" || ext == ".css") && !listed[e.Name()] {
			t.Errorf("%s is not listed", e.Name())
		}
	}
}
