<?php // PHP's own server with a router: each path that applications read out of what it gives them, one a line.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$cut = strtok($_SERVER['REQUEST_URI'], '?');
$read = [$path, $cut, rawurldecode($cut), urldecode($cut), $_SERVER['SCRIPT_NAME'], $_SERVER['PHP_SELF'], $_SERVER['PATH_INFO'] ?? null];
if (is_string($path)) {
    array_push($read, rawurldecode($path), urldecode($path), rawurldecode(rawurldecode($path)));
}
echo implode("\n", array_filter($read, 'is_string'));
