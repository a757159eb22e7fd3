// How large a run is: small by default, as large as the bars of the project with FULL=1, and each size for itself from
// the environment (QUEUE_KILLS=10). RECOVERY_SEED repeats the random choices of a run that failed.

import { number } from "../../recovery/lib/sizes.mjs";

export const sizes = {
  /** How often the server is killed. */
  kills: number("QUEUE_KILLS", 5, 20),
  publishers: number("QUEUE_PUBLISHERS", 8),
  /** Workers, half of them in each of two groups. */
  workers: number("QUEUE_WORKERS", 8),
  /** The longest pause of a publisher between two messages, in milliseconds. */
  pause: number("QUEUE_PAUSE", 80),
};
