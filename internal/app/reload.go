package app

import (
	"context"
	"slices"

	"holdfast/internal/config"
)

// Reload hands a running App the configuration that it is to have from now on. What can't change in a
// running server is named in the log and waits for the next start. It returns when Run has taken next, or
// when ctx ends.
func (a *App) Reload(ctx context.Context, next *config.Config) {
	select {
	case a.reload <- next:
	case <-ctx.Done():
	}
}

// apply runs on Run's goroutine, so that no two overlap. a.config stays the one that the server started
// with, except for the keys that are in force now.
func (a *App) apply(next *config.Config) {
	changed, restart := config.Changes(a.config, next)
	applied := []string{}
	later := func(keys ...string) { restart = append(restart, keys...) }

	for _, key := range changed {
		switch key {
		case "log.level":
			setLogLevel(next.Log.Level)
			a.config.Log.Level = next.Log.Level
			applied = append(applied, key)
		case "cors.origins":
			if !byName(a.config.CORS.Origins) || !byName(next.CORS.Origins) {
				later(key)
				continue
			}
			a.origins.set(next.CORS.Origins)
			a.config.CORS.Origins = next.CORS.Origins
			applied = append(applied, key)
		}
	}
	if tls := slices.DeleteFunc(changed, func(key string) bool { return key != "tls.cert" && key != "tls.key" }); len(tls) > 0 {
		switch {
		case !a.config.TLS.Enabled() || !next.TLS.Enabled():
			later(tls...)
		default:
			if err := a.cert.use(next.TLS.Cert, next.TLS.Key); err != nil {
				a.logger.Error().Err(err).Msg("the new certificate can't be read, the old one stays in use")
				break
			}
			a.config.TLS = next.TLS
			applied = append(applied, tls...)
		}
	}

	a.logger.Info().Strs("changed", applied).Msg("configuration read again")
	if len(restart) > 0 {
		a.logger.Warn().Strs("keys", restart).Msg("these changes need a restart")
	}
}
