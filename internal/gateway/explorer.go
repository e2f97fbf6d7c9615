package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// graphiQL is the explorer, where it is wanted. The admin key is filled in for
// somebody at this machine alone: where the door is on loopback, people know it
// by a loopback name, and so does this request. The last is for pages of other
// sites that have their own name resolve to 127.0.0.1 (DNS rebinding); the one
// before for proxies, which ask by a loopback name whoever asks them.
func (g *Gateway) graphiQL(door net.Addr) http.Handler {
	if !g.cfg.HTTP.GraphiQL {
		return nil
	}
	bare := g.graph.GraphiQL("/graphiql", "")
	if !loopback(door.String()) || !loopback(g.cfg.Public().Host) {
		return bare
	}
	return atLoopback(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.graph.GraphiQL("/graphiql", readKey(AdminKeyFile(g.cfg))).ServeHTTP(w, r) // the key of now
	}), bare)
}

// atLoopback answers by one handler what is asked at a loopback name, by the
// other the rest.
func atLoopback(here, elsewhere http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loopback(r.Host) {
			here.ServeHTTP(w, r)
			return
		}
		elsewhere.ServeHTTP(w, r)
	})
}

// loopback reports whether a host, with or without a port, is this machine by
// its own names.
func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
