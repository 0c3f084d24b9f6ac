"""Cases to be recorded, written down systematically, by area; they hold no expectation of what Envoy does."""
