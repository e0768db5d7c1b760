# The watchdog alone, built by images/build: nothing else has to be in an image.
FROM scratch
COPY fwatchdog /fwatchdog
ENTRYPOINT ["/fwatchdog"]
