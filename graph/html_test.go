package graph

import (
	"strings"
	"testing"
)

func TestClean(t *testing.T) {
	s := newSanitiser()
	resolve := func(id string) string {
		if id == "logo@x" {
			return "https://postern/blobs/attachment/m/2?exp=1&sig=s"
		}
		return ""
	}
	for _, c := range []struct{ name, in, want string }{
		{"text", `<p>a &amp; b &lt;c&gt;</p>`, `<p>a &amp; b &lt;c&gt;</p>`},
		{"script", `a<script>alert(1)</script>b`, `ab`},
		{"handler", `<p onclick="x()">a</p>`, `<p>a</p>`},
		{"javascript link", `<a href="javascript:x()">a</a>`, `a`},
		{"data link", `<a href="data:text/html,x">a</a>`, `a`},
		{"link", `<a href="https://e.org/x">a</a>`, `<a href="https://e.org/x" rel="nofollow noreferrer noopener" target="_blank">a</a>`},
		{"relative link", `<a href="/admin">a</a>`, `a`},
		{"frame and form", `<iframe src="https://e.org"></iframe><form action="https://e.org"><input name="a"></form>b`, `b`},
		{"style sheet", `<style>p{background:url(https://e.org)}</style><link rel="stylesheet" href="https://e.org">a`, `a`},
		{"meta and base", `<base href="https://e.org/"><meta http-equiv="refresh" content="0;url=https://e.org">a`, `a`},
		{"styles", `<p style="color: red; text-align: center; position: fixed; top: 0">a</p>`, `<p style="color: red; text-align: center">a</p>`},
		{"style that asks", `<p style="background-color: url(https://e.org/x); color: blue">a</p>`, `<p style="color: blue">a</p>`},
		{"style in escapes", `<p style="color: \75rl(x); width: expression(alert(1))">a</p>`, `<p>a</p>`},
		{"own image", `<img src="cid:logo@x" alt="L">`, `<img referrerpolicy="no-referrer" src="https://postern/blobs/attachment/m/2?exp=1&amp;sig=s" alt="L">`},
		{"own image, escaped", `<img src="cid:logo%40x">`, `<img referrerpolicy="no-referrer" src="https://postern/blobs/attachment/m/2?exp=1&amp;sig=s">`},
		{"own image that is not there", `<img src="cid:gone" alt="L">`, `<img referrerpolicy="no-referrer" alt="L">`},
		{"link to a part", `<a href="cid:logo@x">a</a>`, `<a rel="nofollow noreferrer">a</a>`},
		{"remote image", `<img src="https://e.org/p.gif" width="1">`, `<img referrerpolicy="no-referrer" src="https://e.org/p.gif" width="1">`},
		{"text like an attribute", `<p> src="cid:logo@x" &lt;img </p>`, `<p> src=&#34;cid:logo@x&#34; &lt;img </p>`},
		{"attribute in an attribute", `<img alt=' src="cid:logo@x"' src="https://e.org/">`, `<img referrerpolicy="no-referrer" src="https://e.org/">`},
		{"table", `<table bgcolor="#fff" background="https://e.org/x"><tr><td align="left">a</td></tr></table>`, `<table bgcolor="#fff"><tr><td align="left">a</td></tr></table>`},
		{"svg", `<svg onload="x()"><script>y()</script></svg>a`, `a`},
		{"comment", `<!--[if mso]><b>x</b><![endif]-->a`, `a`},
		{"unfinished", `<p>a<img src="https://e.org/`, `<p>a`},
	} {
		if got := s.clean(c.in, resolve); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// FuzzClean looks for anything that runs in what comes out.
func FuzzClean(f *testing.F) {
	f.Add(`<p onclick="x" style="color:red"><a href=javascript:x>`)
	f.Add(`<img src=x onerror=alert(1)//`)
	f.Add(`<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>`)
	s := newSanitiser()
	f.Fuzz(func(t *testing.T, in string) {
		out := strings.ToLower(s.clean(in, func(string) string { return "https://postern/" }))
		for _, bad := range []string{"<script", "<iframe", "<style", "<form", "<svg", "<base", "<meta", "<link", `="javascript:`} {
			if strings.Contains(out, bad) {
				t.Errorf("%q gives %q", in, out)
			}
		}
	})
}
