package pluginhost

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// CheckSettings compares an instance's settings with what the plugin says that
// it understands: kind misconfigured where they cannot be.
func CheckSettings(info *provider.Info, settings map[string]string) error {
	return checkSettings(info, settings)
}

// checkSettings compares an instance's settings with what the plugin says that
// it understands. Only names are told, never values.
func checkSettings(info *provider.Info, settings map[string]string) error {
	var known, faults []string
	for _, s := range info.Settings {
		known = append(known, s.Name)
		if s.Required && settings[s.Name] == "" {
			faults = append(faults, fmt.Sprintf("%q is missing", s.Name))
		}
	}
	for name := range settings {
		if !slices.Contains(known, name) {
			faults = append(faults, fmt.Sprintf("%q is unknown", name))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.Sort(faults)
	slices.Sort(known)
	return mail.Errorf(mail.KindMisconfigured, "check settings", "%s; plugin %s knows %s",
		strings.Join(faults, ", "), info.Name, strings.Join(known, ", "))
}
