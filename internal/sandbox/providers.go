package sandbox

// A Provider is how a gateway is configured to use one of the clouds: as data,
// so that a program that starts a sandbox needs to know no provider by name.
type Provider struct {
	// Name is the instance's, Plugin the plugin's.
	Name   string `json:"name"`
	Plugin string `json:"plugin"`
	// Cloud is what the control API calls it, and URL where it is.
	Cloud string `json:"cloud"`
	URL   string `json:"url"`
	Push  bool   `json:"push"`
	// Settings are the plugin's.
	Settings map[string]string `json:"settings"`
	// App is the application that the settings name, for POST /control/apps;
	// redirect_uris is left to the gateway's owner.
	App map[string]any `json:"app"`
}

// providers lists what the sandbox plays, in the order of its clouds.
func (s *Sandbox) providers() []Provider {
	st := s.state
	return []Provider{{
		Name: "outlook", Plugin: "outlook", Cloud: s.microsoft.Name(), URL: st.Microsoft, Push: true,
		Settings: map[string]string{
			"client_id": st.ClientID, "client_secret": st.ClientSecret,
			"authority": st.Authority, "graph_url": st.Graph, "ca_file": st.CAFile,
		},
		App: map[string]any{"client_id": st.ClientID, "secrets": []map[string]string{{"value": st.ClientSecret}}},
	}}
}
